//! `portcullis policy test`: cases against a policy, decided by the filter's own code.

mod junit;
mod run;
mod show;
#[cfg(test)]
mod tests;

pub use run::{Difference, Played, Run};

use super::{cases::Cases, load::Loaded};
use crate::{
    exit::{Exit, Outcome, Trouble},
    output,
};
use std::path::PathBuf;

/// What `--help` says at its end.
const HELP: &str = "\
A file of cases, YAML or JSON:
  host: api.example.com              # of requests that name none
  cases:
    - name: who may read may list    # optional
      request: GET /orders           # or METHOD host/path
      scopes: orders:read            # a good token with these
      expect: released               # or a code: insufficient_scope, no_route, …
    - {request: GET /orders, expect: no_credentials, status: 401, rule: orders.list}
    - {request: GET /orders, token: expired, expect: token_expired}
    - {request: GET /orders, scopes: orders:read, session: revoked, expect: session_revoked}

  token    good, expired, forged or none; issuer: whose, else the policy's first
  claims   {scope: …, acr: aal2, auth_time: -20m}: other claims, times relative to now
  session  active, revoked, idle_timeout, lifetime_exceeded, unknown, scope_escalation, outage,
           outage_after_grant, or {scopes: what is left, age: 20m, idle: 6m}
  client   http, grpc or websocket; headers: {name: value}
  then     {session: revoked, expect: session_revoked}: what becomes of the request while
           it is open; `expect: open` when it goes on

Examples:
  portcullis policy test policy.yaml cases.yaml
  portcullis policy test policy.yaml cases/*.yaml --junit target/policy.xml

Exit codes:
  0  all cases hold
  1  a case fails, or a file can't be read
  2  the policy or a file of cases is wrong";

/// Play cases against a policy, with the filter's own code
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// The policy, or a file that holds it (see `policy check`); `-` is standard input
    #[arg(value_name = "POLICY")]
    policy: PathBuf,
    /// Files of cases, YAML or JSON; `-` is standard input
    #[arg(required = true, value_name = "CASES")]
    cases: Vec<PathBuf>,
    /// Write a JUnit report, for CI
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let loaded = Loaded::read(&self.policy)?;
        let cases = every(self.cases.iter().map(|path| {
            let cases = Cases::read(path)?;
            cases.must_fit(&loaded.policy)?;
            Ok(cases)
        }))?;
        let run = Run::of(loaded, cases)?;
        output::write_styled(&(show::text(&run) + "\n"))?;
        if let Some(path) = self.junit {
            let written = junit::xml(&run, &self.policy.display().to_string());
            let written = written.and_then(|xml| std::fs::write(&path, xml).map_err(|error| error.to_string()));
            written.map_err(|error| Trouble::failed(format_args!("`{}` can't be written: {error}", path.display())))?;
        }
        Ok(if run.failed() == 0 { Exit::Done } else { Exit::Failed })
    }
}

/// All of them, or what is wrong with all of them.
fn every(read: impl Iterator<Item = Result<Cases, Trouble>>) -> Result<Vec<Cases>, Trouble> {
    let (mut good, mut troubles) = (Vec::new(), Vec::new());
    for read in read {
        match read {
            Ok(cases) => good.push(cases),
            Err(trouble) => troubles.push(trouble),
        }
    }
    let Some(last) = troubles.pop() else { return Ok(good) };
    for trouble in troubles {
        trouble.tell();
    }
    Err(last)
}
