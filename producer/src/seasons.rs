//! The seasons that matches are generated for, and the days on which each was played.

use std::sync::LazyLock;

use jiff::ToSpan;
use jiff::civil::{Date, date};

/// One season of the league.
#[derive(Debug)]
pub(crate) struct Season {
    /// Its year, 2020 to 2024.
    pub year: i32,
    /// Its days of play, `YYYY-MM-DD`, in order.
    pub days: Vec<String>,
}

/// The five seasons, in order. Records borrow the formatted days.
pub(crate) static SEASONS: LazyLock<[Season; 5]> = LazyLock::new(|| {
    [
        season(2020, &[(date(2020, 9, 19), date(2020, 11, 10))]),
        // Interrupted by the pandemic, and finished in the autumn.
        season(2021, &[(date(2021, 4, 9), date(2021, 5, 2)), (date(2021, 9, 19), date(2021, 10, 15))]),
        season(2022, &[(date(2022, 3, 26), date(2022, 5, 29))]),
        season(2023, &[(date(2023, 3, 31), date(2023, 5, 29))]),
        season(2024, &[(date(2024, 3, 22), date(2024, 5, 26))]),
    ]
});

/// The season of `year`, of all days from the first to the last of each of its parts.
fn season(year: i32, parts: &[(Date, Date)]) -> Season {
    let days = parts
        .iter()
        .flat_map(|&(first, last)| first.series(1.day()).take_while(move |day| *day <= last))
        .map(|day| day.to_string())
        .collect();
    Season { year, days }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_a_season_is_in_its_year() {
        for (season, year) in SEASONS.iter().zip(2020..) {
            assert_eq!(season.year, year);
            assert!(season.days.len() > 50, "{year}: {}", season.days.len());
            assert!(season.days.iter().all(|day| day.starts_with(&format!("{year}-")) && day.len() == 10));
        }
    }
}
