//! Many tokens, and the lists of requests that wrk reads.

use crate::options::cores;
use portcullis_tests::{Algorithm, Key, TokenBuilder};
use serde_json::{Map, Value, json};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// `iss` of all tokens.
const ISSUER: &str = "https://id.example.com";
/// Tokens are valid for longer than any run.
const LIFETIME_S: i64 = 6 * 3_600;

/// The issuer: its keys, but no server, because every row has the keys inline.
pub(crate) struct Mint {
    es256: Arc<Key>,
    rs256: Arc<Key>,
}

impl Mint {
    pub(crate) fn new() -> Self {
        Self { es256: Arc::new(Key::new(Algorithm::ES256)), rs256: Arc::new(Key::new(Algorithm::RS256)) }
    }

    /// The values that the bootstraps need from the issuer.
    pub(crate) fn values(&self) -> Map<String, Value> {
        let keys = json!({"keys": [self.es256.jwk(), self.rs256.jwk()]});
        [
            ("ISSUER".to_owned(), json!(ISSUER)),
            ("JWKS_TEXT".to_owned(), json!(keys.to_string())),
            ("JWKS".to_owned(), keys),
        ]
        .into_iter()
        .collect()
    }

    /// A token that every row accepts.
    pub(crate) fn token(&self) -> TokenBuilder {
        TokenBuilder::new(ISSUER, self.es256.clone()).expires_in(LIFETIME_S)
    }

    /// A token that another key has signed.
    pub(crate) fn forged(&self) -> String {
        self.token().signed_by(&Arc::new(Key::new(Algorithm::ES256))).sign().text
    }

    /// A number of different tokens for a number of sessions.
    pub(crate) fn tokens(&self, algorithm: Algorithm, count: usize, sessions: usize) -> Vec<String> {
        self.tokens_with(algorithm, count, sessions, |token| token)
    }

    /// The same, each with what `add` adds.
    pub(crate) fn tokens_with(
        &self,
        algorithm: Algorithm,
        count: usize,
        sessions: usize,
        add: impl Fn(TokenBuilder) -> TokenBuilder + Sync,
    ) -> Vec<String> {
        let key = if algorithm == Algorithm::RS256 { &self.rs256 } else { &self.es256 };
        let sign = |number: usize| {
            let session = format!("{algorithm:?}-{count}-{}", number % sessions);
            add(self.token().key(key).session(&session)).sign().text
        };
        let share = count.div_ceil(cores()).max(1);
        std::thread::scope(|scope| {
            let parts: Vec<_> = (0..count)
                .step_by(share)
                .map(|from| scope.spawn(move || (from..count.min(from + share)).map(sign).collect::<Vec<_>>()))
                .collect();
            parts.into_iter().flat_map(|part| part.join().expect("tokens can be signed")).collect()
        })
    }
}

/// A path of one of a policy's routes; neighbours in a list are far apart in the policy.
pub(crate) fn path(number: usize, routes: usize) -> String {
    const STRIDE: usize = 7_919; // a prime
    format!("/r{}/{number}", number * STRIDE % routes)
}

/// Writes a list for wrk: each token once, with the paths spread over the routes.
pub(crate) fn list(dir: &Path, name: &str, tokens: &[String], routes: usize) -> PathBuf {
    let count = tokens.len().max(routes);
    let lines = (0..count).map(|number| format!("{} {}\n", path(number, routes), tokens[number % tokens.len()]));
    let file = dir.join(name);
    std::fs::write(&file, lines.collect::<String>()).expect("a temporary file can be written");
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_as_many_as_asked_for_and_all_different() {
        let tokens = Mint::new().tokens(Algorithm::ES256, 7, 2);
        let distinct: std::collections::HashSet<_> = tokens.iter().collect();
        assert_eq!((tokens.len(), distinct.len()), (7, 7));
    }

    #[test]
    fn every_route_is_in_a_list() {
        let paths: std::collections::HashSet<_> =
            (0..100).map(|number| path(number, 100).split('/').nth(1).map(str::to_owned)).collect();
        assert_eq!(paths.len(), 100);
    }
}
