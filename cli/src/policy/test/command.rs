//! The arguments of `portcullis policy test`, and the run.

use super::{junit, run::Run, show};
use crate::{
    conditions::Optional,
    error::Error,
    exit::{Exit, Outcome},
    output,
    policy::{cases::Cases, load::Loaded},
};
use std::path::PathBuf;

const HELP: &str = "\
A file of cases (YAML or JSON):
  host: api.example.com              # for requests that name none; needed if routes do
  cases:
    - name: a reader may list        # optional
      request: GET /orders           # or METHOD host/path
      scopes: orders:read            # send a valid token with these scopes
      expect: released               # or a code: insufficient_scope, no_route, …
    - {request: GET /orders, expect: no_credentials, status: 401, rule: orders.list}
    - {request: GET /orders, token: expired, expect: token_expired}
    - {request: GET /orders, scopes: orders:read, session: revoked, expect: session_revoked}

  token    good, expired, forged or none
  token_in where the token is: authorization, {cookie: NAME} or {websocket_protocol: NAME}
  issuer   issuer of the token; the default is the first one of the policy
  claims   other claims, with times relative to now: {scope: …, acr: aal2, auth_time: -20m}
  without  claims that the token does not have: [sid]
  session  active, revoked, idle_timeout, lifetime_exceeded, unknown, scope_escalation, blocked,
           outage, outage_after_grant, or {scopes: the remaining ones, age: 20m, idle: 6m,
           access: machine}
  client   http, grpc or websocket
  headers  {name: value}
  then     a change of the session while the request is open, and its effect:
           {session: revoked, expect: session_revoked}; `expect: open` if it continues
With --conditions:
  attributes  of the session, its subject and its device: {session: {risk: high},
              device: {id: d1, compliant: true}}; in `then`, those that change
  context     {place: {country: CH, asn: 64500, proxy: false}, ip: 192.0.2.7,
              now: 2026-11-27T22:00:00Z}

Examples:
  portcullis policy test policy.yaml cases.yaml
  portcullis policy test policy.yaml cases/*.yaml --junit target/policy.xml
  portcullis policy test policy.yaml cases.yaml --conditions ./conditions

Exit codes:
  0  all cases pass
  1  a case fails, or a file cannot be read
  2  the policy, a condition or a file of cases is invalid";

/// Run test cases against a policy, with the filter's own code
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Policy, or a manifest that contains it (see `policy check`); `-` reads standard input
    #[arg(value_name = "POLICY")]
    policy: PathBuf,
    /// Files of cases (YAML or JSON); `-` reads standard input
    #[arg(required = true, value_name = "CASES")]
    cases: Vec<PathBuf>,
    /// Write a JUnit report for CI to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    #[command(flatten)]
    conditions: Optional,
}

impl Args {
    pub(in crate::policy) fn run(self) -> Outcome {
        let loaded = Loaded::read(&self.policy)?;
        let cases = every(self.cases.iter().map(|path| {
            let cases = Cases::read(path)?;
            cases.must_fit(&loaded.policy)?;
            Ok(cases)
        }))?;
        let run = Run::with_conditions(loaded, cases, self.conditions.load()?)?;
        output::write_styled(&(show::text(&run) + "\n"))?;
        if let Some(path) = self.junit {
            let written = junit::xml(&run, &self.policy.display().to_string());
            let written = written.and_then(|xml| std::fs::write(&path, xml).map_err(|error| error.to_string()));
            written.map_err(|error| Error::failed(format_args!("cannot write `{}`: {error}", path.display())))?;
        }
        Ok(if run.failed() == 0 { Exit::Done } else { Exit::Failed })
    }
}

/// All files, or the errors of all invalid ones.
fn every(read: impl Iterator<Item = Result<Cases, Error>>) -> Result<Vec<Cases>, Error> {
    let (mut good, mut errors) = (Vec::new(), Vec::new());
    for read in read {
        match read {
            Ok(cases) => good.push(cases),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(good) } else { Err(Error::Several(errors)) }
}
