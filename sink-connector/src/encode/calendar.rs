//! Days of the proleptic Gregorian calendar, for every year that PostgreSQL has: 4714 BC to 5874897.

/// Days from 2000-01-01, PostgreSQL's epoch, to a date. `year` is astronomical (1 BC is 0), `month` and `day` count
/// from 1 and exist ([`days_in_month`]). After Howard Hinnant's `days_from_civil`.
pub fn days_from_2000(year: i64, month: u32, day: u32) -> i64 {
    let (month, day) = (i64::from(month), i64::from(day));
    // Years begin in March, so that the leap day is their last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 730_425
}

/// The number of days in a month of an astronomical year; 0 for a month that does not exist.
pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0) => 29,
        2 => 28,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn days_are_counted_from_2000() {
        assert_eq!(days_from_2000(2000, 1, 1), 0);
        assert_eq!(days_from_2000(1970, 1, 1), -10_957);
        assert_eq!(days_from_2000(1969, 12, 31), -10_958);
        assert_eq!(days_from_2000(-4713, 11, 24), -2_451_545); // Julian day 0
        assert_eq!(days_from_2000(5_874_897, 12, 31), 2_145_031_948); // the last date of the server
    }

    proptest! {
        #[test]
        fn dates_agree_with_jiff(year in -9999i16..=9999, month in 1i8..=12, day in 1i8..=28) {
            let date = jiff::civil::date(year, month, day);
            let expected = date.since(jiff::civil::date(2000, 1, 1)).unwrap().get_days();
            let (month, day) = (u32::try_from(month).unwrap(), u32::try_from(day).unwrap());
            prop_assert_eq!(days_from_2000(i64::from(year), month, day), i64::from(expected));
            prop_assert_eq!(days_in_month(i64::from(year), month), u32::try_from(date.days_in_month()).unwrap());
        }
    }
}
