//! Days of the proleptic Gregorian calendar, for every year that PostgreSQL has: 4714 BC to 5874897.

/// Days from 2000-01-01, PostgreSQL's epoch, to a date. `year` is astronomical (1 BC is 0), `month` and `day` count
/// from 1 and exist ([`days_in_month`]). After Howard Hinnant's `days_from_civil`.
pub(super) fn days_from_2000(year: i64, month: u32, day: u32) -> i64 {
    let (month, day) = (i64::from(month), i64::from(day));
    // Years begin in March, so that the leap day is their last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 730_425
}

/// The astronomical year, the month and the day of a day counted from 2000-01-01. After Howard Hinnant's
/// `civil_from_days`.
pub(super) fn date_from_2000(days: i64) -> (i64, i64, i64) {
    let days = days + 730_425;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

/// The number of days in a month of an astronomical year; 0 for a month that does not exist.
pub(super) fn days_in_month(year: i64, month: u32) -> u32 {
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
        fn a_date_comes_back_from_its_day(days in -2_451_545i64..=2_145_031_948) {
            let (year, month, day) = date_from_2000(days);
            let (month, day) = (u32::try_from(month).unwrap(), u32::try_from(day).unwrap());
            prop_assert!(day >= 1 && day <= days_in_month(year, month));
            prop_assert_eq!(days_from_2000(year, month, day), days);
        }

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
