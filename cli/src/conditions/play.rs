//! Plays cases against a policy and conditions.

use super::load::From;
use crate::{
    error::Error,
    policy::{
        cases::{Case, Cases},
        load::Loaded,
        simulator::{Decision, Judged, Simulator},
    },
};
use portcullis_conditions::Set;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// The policy that cases are played against.
#[derive(Debug, clap::Args)]
pub(crate) struct Played {
    /// Policy of the filter, or a manifest that contains it
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
}

/// Conditions, and the cases that they are asked about.
#[derive(Debug, clap::Args)]
pub(crate) struct OfCases {
    #[command(flatten)]
    from: From,
    #[command(flatten)]
    played: Played,
    /// Files of cases (YAML or JSON); `-` reads standard input
    #[arg(required = true, value_name = "CASES")]
    cases: Vec<PathBuf>,
}

impl Played {
    /// Reads it. It may be standard input, which can be read only once.
    pub(super) fn policy(&self) -> Result<Loaded, Error> {
        Loaded::read(&self.policy)
    }
}

impl OfCases {
    pub(super) fn read(&self) -> Result<(Arc<Set>, Loaded, Vec<Cases>), Error> {
        let (set, loaded) = (self.from.load()?, self.played.policy()?);
        let cases = cases(&self.cases, &loaded)?;
        Ok((set, loaded, cases))
    }
}

/// A simulated filter, whose session service judges by conditions.
pub(super) fn simulator(loaded: Loaded, set: &Arc<Set>) -> Result<Simulator, Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or_default();
    Ok(Simulator::new(loaded.policy, now_ms)?.with_conditions(Arc::clone(set)))
}

/// Reads files of cases that fit a policy. The error has the faults of all files.
pub(super) fn cases(paths: &[PathBuf], loaded: &Loaded) -> Result<Vec<Cases>, Error> {
    let read = |path: &Path| {
        let cases = Cases::read(path)?;
        cases.must_fit(&loaded.policy)?;
        Ok(cases)
    };
    let (mut good, mut errors) = (Vec::new(), Vec::new());
    for path in paths {
        match read(path) {
            Ok(cases) => good.push(cases),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(good) } else { Err(Error::Several(errors)) }
}

/// What becomes of the request of a case, and what conditions say about it.
pub(super) fn play(worker: &mut Simulator, case: &Case) -> (String, Option<Judged>) {
    // Only the first decision is explained: `then` would hide it.
    let outcome = worker.play(&Case { then: None, ..case.clone() });
    let words = match outcome.decision {
        Decision::Released(_) => "released".to_owned(),
        Decision::Refused(code, _) => code.name().to_owned(),
        Decision::Waits => "no decision".to_owned(),
    };
    (words, worker.judged())
}
