//! Dates of the proleptic Gregorian calendar, for the real-time clock.

/// Seconds in a day.
pub(crate) const SECONDS_PER_DAY: i64 = 86_400;

/// A date and time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    pub second: u8,
    pub minute: u8,
    pub hour: u8,
    /// 1 is Sunday, as the MC146818 counts.
    pub day_of_week: u8,
    pub day: u8,
    pub month: u8,
    pub year: i64,
}

/// Days from 1970-01-01 to the first of March of `year`, whose January and February count to the year before.
fn days_to_march(year: i64) -> i64 {
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) - 719_468
}

/// Days from the first of March to the first of the month that is `month` months after March.
fn days_to_month(month: i64) -> i64 {
    (153 * month + 2) / 5
}

impl Date {
    /// The date `unix` seconds after 1970-01-01 00:00:00.
    pub fn from_unix(unix: i64) -> Self {
        let (day, of_day) = (unix.div_euclid(SECONDS_PER_DAY), unix.rem_euclid(SECONDS_PER_DAY));
        let mut year = (day + 719_468) * 400 / 146_097;
        while days_to_march(year + 1) <= day {
            year += 1;
        }
        while days_to_march(year) > day {
            year -= 1;
        }
        let of_year = day - days_to_march(year);
        let month = (5 * of_year + 2) / 153;
        Self {
            second: (of_day % 60) as u8,
            minute: (of_day / 60 % 60) as u8,
            hour: (of_day / 3600) as u8,
            day_of_week: ((day + 4).rem_euclid(7) + 1) as u8,
            day: (of_year - days_to_month(month) + 1) as u8,
            month: ((month + 2) % 12 + 1) as u8,
            year: year + i64::from(month >= 10),
        }
    }

    /// Seconds since 1970-01-01 00:00:00. Fields out of range carry over.
    pub fn to_unix(self) -> i64 {
        let month = i64::from(self.month) + 9;
        let year = self.year - 1 + month / 12;
        let days = days_to_march(year) + days_to_month(month % 12) + i64::from(self.day) - 1;
        let of_day = i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        days * SECONDS_PER_DAY + of_day
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        let epoch = Date::from_unix(0);
        assert_eq!((epoch.year, epoch.month, epoch.day, epoch.day_of_week), (1970, 1, 1, 5));
        let leap = Date::from_unix(951_782_400);
        assert_eq!((leap.year, leap.month, leap.day), (2000, 2, 29));
    }

    #[test]
    fn every_day_of_800_years_comes_back() {
        for day in -146_097..146_097 {
            let unix = day * SECONDS_PER_DAY + 4711;
            assert_eq!(Date::from_unix(unix).to_unix(), unix);
        }
    }
}
