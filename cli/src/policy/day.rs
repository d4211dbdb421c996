//! The day that a command takes for today.

use crate::exit::Trouble;
use jiff::{Timestamp, tz::TimeZone};
use portcullis_engine::scope::Date;

/// Reads an argument.
pub(super) fn day(text: &str) -> Result<Date, String> {
    text.parse().map_err(|_| "expected a day such as `2027-03-01`".to_owned())
}

/// The day that was given, else the one that it is in UTC.
pub(super) fn or_today(given: Option<Date>) -> Result<Date, Trouble> {
    let today = || Timestamp::now().to_zoned(TimeZone::UTC).date().to_string().parse();
    given.map_or_else(today, Ok).map_err(|_| Trouble::failed("the clock says no day of the calendar; give `--today`"))
}
