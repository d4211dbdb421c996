//! The date that a command uses as today.

use crate::error::Error;
use jiff::{Timestamp, tz::TimeZone};
use portcullis_engine::scope::Date;

/// Parses an argument.
pub(crate) fn date(text: &str) -> Result<Date, String> {
    text.parse().map_err(|_| "expected a date such as `2027-03-01`".to_owned())
}

/// The given date or, without one, today in UTC.
pub(crate) fn or_today(given: Option<Date>) -> Result<Date, Error> {
    let today = || Timestamp::now().to_zoned(TimeZone::UTC).date().to_string().parse();
    given.map_or_else(today, Ok).map_err(|_| Error::failed("the system clock is not at a valid date; use `--today`"))
}
