//! What is used: the list of `/v1/usage`, from the service or from a file.

use super::{
    client::{Client, Path as ApiPath},
    connection::Access,
    scopes,
};
use crate::{error::Error, input, output, plain, report};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, path::Path};

/// The largest file of this kind, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// What was used since an instant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Usage {
    /// RFC 3339.
    pub(crate) since: String,
    pub(crate) scopes: Vec<ScopeUse>,
    pub(crate) routes: Vec<RouteUse>,
    /// Scopes that sessions of a client were granted, and that no request of the client needed.
    pub(crate) held_unused: Vec<Held>,
}

/// The use of a scope by a client.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct ScopeUse {
    pub(crate) scope: String,
    pub(crate) client: String,
    pub(crate) asked: u64,
    pub(crate) granted: u64,
    pub(crate) refused: u64,
    pub(crate) last_used: String,
}

/// The use of a route by a client.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct RouteUse {
    pub(crate) route: String,
    pub(crate) client: String,
    pub(crate) count: u64,
    pub(crate) last_used: String,
}

/// A scope that a client holds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Held {
    pub(crate) scope: String,
    pub(crate) client: String,
}

impl Usage {
    /// Asks the service, which goes back by `since`: a duration or an instant. Says so if it cannot go back that far.
    pub(super) fn of_service(client: &Client, since: &str) -> Result<Self, Error> {
        let usage: Self = client.get(&ApiPath::new("/v1/usage").parameter("since", Some(since)))?;
        let wanted = scopes::instant(since, Timestamp::now());
        if let (Some(wanted), Ok(from)) = (wanted, usage.since.parse::<Timestamp>())
            && from > wanted
        {
            let from = plain::plain(&usage.since);
            output::message(&report::warning(&format!("the service has counted since {from} only")));
        }
        Ok(usage)
    }

    /// Reads a file that `scopes usage --output json` has written.
    pub(crate) fn of_file(file: &Path) -> Result<Self, Error> {
        let (name, text) = input::text_within(file, FILE_BYTES_MAX)?;
        let read = |error: &dyn std::fmt::Display| {
            Error::invalid(format_args!(
                "`{name}` is not the output of `portcullis scopes usage --output json`: {error}"
            ))
        };
        let usage: Self = serde_json::from_str(&text).map_err(|error| read(&error))?;
        usage.since.parse::<Timestamp>().map_err(|_| read(&"`since` is not an instant"))?;
        Ok(usage)
    }

    /// Reads the file or, if it is a URL, asks the service there.
    pub(crate) fn of_either(file_or_url: &str, since: &str, access: &Access) -> Result<Self, Error> {
        match file_or_url.starts_with("http://") || file_or_url.starts_with("https://") {
            true => Self::of_service(&access.client(file_or_url, "--usage")?, since),
            false => Self::of_file(Path::new(file_or_url)),
        }
    }

    /// Leaves out what was not used since an instant. The list must go back that far.
    pub(super) fn since(mut self, since: Timestamp) -> Result<Self, Error> {
        if self.since.parse::<Timestamp>().is_ok_and(|from| from > since) {
            let from = &self.since;
            return Err(Error::invalid(format_args!("`--since`: the file goes back to {from} only")));
        }
        let is_later = |last: &str| last.parse::<Timestamp>().is_ok_and(|last| last >= since);
        self.scopes.retain(|of| is_later(&of.last_used));
        self.routes.retain(|of| is_later(&of.last_used));
        self.since = since.to_string();
        Ok(self)
    }

    /// The scopes that have helped to release a request.
    pub(crate) fn granted(&self) -> HashSet<&str> {
        self.scopes.iter().filter(|of| of.granted > 0).map(|of| of.scope.as_str()).collect()
    }

    /// The routes with requests.
    pub(crate) fn routes(&self) -> HashSet<&str> {
        self.routes.iter().filter(|of| of.count > 0).map(|of| of.route.as_str()).collect()
    }

    /// Whether there were requests whose route or scopes were not kept apart: then nobody can tell what was not used.
    pub(crate) fn has_unnamed(&self) -> bool {
        self.granted().contains("") || self.routes().contains("")
    }
}
