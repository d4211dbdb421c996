//! `portcullis policy explain`: what becomes of one request under a policy, and why.

mod candidates;
mod decide;
mod explanation;
mod play;
#[cfg(test)]
mod tests;
mod text;
mod token;

pub use candidates::{Candidate, Fit, Route};
pub use decide::explain;
pub use explanation::{Decision, Explanation, Reply, Says, SessionLimits, Token, Vouched};
pub use play::{Asked, Given};

use super::load::Loaded;
use crate::{
    exit::{Exit, Outcome, Trouble},
    output::{self, Format},
};
use std::{
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

/// What `--help` says at its end.
const HELP: &str = "\
The request is decided by the code that runs in Envoy. The session service is not asked: of a
request that it would be asked about, it is said what follows from its word. Keys are not
fetched: where they are at a URL, the token's signature is not checked, which is said, and
everything else is.

A token is a secret, and arguments are seen in the list of processes: prefer `--token -` or
`--token @FILE`.

Examples:
  portcullis policy explain policy.yaml GET https://api.example.com/orders
  portcullis policy explain policy.yaml PUT api.example.com/orders/7 --scopes 'orders:read admin'
  portcullis policy explain policy.yaml GET admin.example.com/ --scopes admin --claim acr=aal2
  portcullis policy explain policy.yaml GET api.example.com/orders --token - < token.txt

Exit codes:
  0  explained, whatever the decision
  1  a file or the token can't be read
  2  the policy or an argument is wrong";

/// Say what becomes of a request, and why
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// The policy, or a file that holds it (see `policy check`); `-` is standard input
    #[arg(value_name = "POLICY")]
    policy: PathBuf,
    /// The request's method, in upper case
    method: String,
    /// The request's URL; the path is taken as it stands
    url: String,
    /// Its access token; `-` reads it from standard input, `@FILE` from a file (others see arguments in the list of processes)
    #[arg(long, value_name = "TOKEN", conflicts_with_all = ["scopes", "claims"])]
    token: Option<String>,
    /// Stands for a verified token with these scopes, separated by spaces
    #[arg(long, value_name = "SCOPES")]
    scopes: Option<String>,
    /// A claim of that token; times may be relative to now, as `-20m`
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = token::claim)]
    claims: Vec<(String, String)>,
    /// Another header of the request
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = token::header)]
    headers: Vec<(String, String)>,
    /// For whom to write
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        if self.policy.as_os_str() == "-" && self.token.as_deref() == Some("-") {
            return Err(Trouble::faulty("policy and token can't both come from standard input"));
        }
        let loaded = Loaded::read(&self.policy)?;
        let (host, path) = target(&self.url)?;
        let given = match (&self.token, &self.scopes, self.claims.is_empty()) {
            (Some(token), ..) => Given::Token(token::read(token)?),
            (None, None, true) => Given::Nothing,
            (None, scopes, _) => {
                Given::Claims(token::bearer(scopes.as_deref(), &self.claims).map_err(Trouble::faulty)?)
            }
        };
        let request = Asked { method: self.method, host, path, headers: self.headers, given, now_ms: now_ms() };
        let explanation = explain(loaded, &request)?;
        match self.output {
            Format::Text => output::write_styled(&(text::text(&explanation) + "\n"))?,
            Format::Json => output::write_json(&explanation)?,
        };
        Ok(Exit::Done)
    }
}

/// Host and path of a URL, as a client would send them.
fn target(url: &str) -> Result<(String, String), Trouble> {
    let bare = ["https://", "http://", "wss://", "ws://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let bare = bare.unwrap_or(url);
    let bare = bare.split('#').next().unwrap_or_default();
    let (host, path) = bare.split_at_checked(bare.find(['/', '?']).unwrap_or(bare.len())).unwrap_or((bare, ""));
    if host.is_empty() {
        return Err(Trouble::faulty(format_args!(
            "`{}` names no host: expected a URL such as `https://api.example.com/orders`",
            url.escape_debug()
        )));
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok((host.to_owned(), path))
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or_default()
}
