//! Pages of lists: the one that a caller asks for, and where the next begins.

use super::body::query;
use super::problem::Problem;
use axum::http::Uri;
use serde::Deserialize;

/// Entries on a page by default.
const PAGE_DEFAULT: usize = 100;
/// Entries on a page at most.
const PAGE_MAX: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    limit: Option<String>,
    cursor: Option<String>,
}

/// A page of a list that has no filters.
pub(super) struct Asked {
    pub(super) limit: usize,
    /// The id after which the page begins.
    pub(super) after: Option<String>,
}

impl Asked {
    pub(super) fn of(uri: &Uri) -> Result<Self, Problem> {
        let Parameters { limit, cursor } = query(uri)?;
        Ok(Self { limit: limit_of(limit)?, after: given(cursor) })
    }
}

/// The cursor of the page after this one, when there is one.
pub(super) fn next<T>(page: &[(String, T)], has_more: bool) -> Option<String> {
    page.last().map(|(id, _)| id.clone()).filter(|_| has_more)
}

/// How many entries a page has.
pub(super) fn limit_of(parameter: Option<String>) -> Result<usize, Problem> {
    match given(parameter).map(|limit| limit.parse()) {
        None => Ok(PAGE_DEFAULT),
        Some(Ok(limit @ 1..=PAGE_MAX)) => Ok(limit),
        Some(_) => Err(Problem::invalid(format!("query: `limit` must be 1 to {PAGE_MAX}"))),
    }
}

/// A parameter. An empty one (`?subject=&limit=10`) counts as left out.
pub(super) fn given(parameter: Option<String>) -> Option<String> {
    parameter.filter(|text| !text.is_empty())
}
