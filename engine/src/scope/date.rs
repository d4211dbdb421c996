//! A calendar date, as in `review_by`.

use std::{fmt, str::FromStr};

/// A date that exists in the Gregorian calendar, from year 1 on. Dates are ordered by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

/// The text is not `YYYY-MM-DD`, or the date does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoDate;

impl FromStr for Date {
    type Err = NoDate;

    /// Reads `YYYY-MM-DD` (RFC 3339, `full-date`) and nothing else.
    fn from_str(text: &str) -> Result<Self, NoDate> {
        let &[y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = text.as_bytes() else {
            return Err(NoDate);
        };
        let year = number(&[y0, y1, y2, y3]).ok_or(NoDate)?;
        let month = number(&[m0, m1]).ok_or(NoDate)?;
        let day = number(&[d0, d1]).ok_or(NoDate)?;
        if year == 0 || day == 0 || day > days_of(year, month).ok_or(NoDate)? {
            return Err(NoDate);
        }
        let (Ok(month), Ok(day)) = (u8::try_from(month), u8::try_from(day)) else {
            return Err(NoDate);
        };
        Ok(Self { year, month, day })
    }
}

fn number(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0, |sum: u16, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        Some(sum * 10 + u16::from(digit))
    })
}

fn days_of(year: u16, month: u16) -> Option<u16> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 if leap => Some(29),
        2 => Some(28),
        _ => None,
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_the_calendar_are_read_and_written_back() {
        for date in ["2027-03-01", "2024-02-29", "2000-02-29", "0001-01-01", "9999-12-31"] {
            assert_eq!(date.parse::<Date>().map(|date| date.to_string()), Ok(date.into()));
        }
    }

    #[test]
    fn all_else_is_no_date() {
        for text in [
            "",
            "2027",
            "2027-3-1",
            "2027-02-29",
            "1900-02-29",
            "2027-04-31",
            "2027-13-01",
            "2027-00-10",
            "2027-01-00",
            "0000-01-01",
            "+027-01-01",
            "2027/01/01",
            "2027-01-01T00:00:00Z",
            " 2027-01-01",
            "2027-01-0१",
        ] {
            assert_eq!(text.parse::<Date>(), Err(NoDate), "{text}");
        }
    }

    #[test]
    fn dates_are_ordered_by_time() {
        let dates = ["2026-12-31", "2027-01-01", "2027-01-02", "2027-02-01"].map(|text| text.parse::<Date>().unwrap());
        assert!(dates.is_sorted());
    }
}
