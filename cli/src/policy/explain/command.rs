//! The arguments of `portcullis policy explain`, and the run.

use super::{
    decide::explain,
    keys,
    play::{Asked, Given},
    text, token,
};
use crate::{
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format},
    policy::load::Loaded,
};
use portcullis_engine::policy::Policy;
use std::{
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

const HELP: &str = "\
The decision is made by the code that runs in Envoy. The session service is not asked: if the filter
would ask it, the output shows what follows from its verdict. Keys at a URL are only fetched with
`--fetch-keys`; without it, everything about the token except its signature is checked, and the
output says so.

A token is a secret, and other users can see arguments in the process list: prefer `--token -` or
`--token @FILE`.

Examples:
  portcullis policy explain policy.yaml GET /me
  portcullis policy explain policy.yaml GET https://api.example.com/orders
  portcullis policy explain policy.yaml PUT api.example.com/orders/7 --scopes 'orders:read admin'
  portcullis policy explain policy.yaml GET admin.example.com/ --scopes admin --claim acr=aal2
  portcullis policy explain policy.yaml GET api.example.com/orders --token - < token.txt
  portcullis policy explain policy.yaml GET api.example.com/orders --token @token.txt --fetch-keys

Exit codes:
  0  the request was explained, whatever the decision
  1  a file, the token or the keys cannot be read
  2  the policy or an argument is invalid";

/// Explain how a request is decided, and why
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Policy, or a manifest that contains it (see `policy check`); `-` reads standard input
    #[arg(value_name = "POLICY")]
    policy: PathBuf,
    /// Method of the request, in upper case
    method: String,
    /// URL of the request; the path is used unchanged, and is enough if no route names hosts
    url: String,
    /// Access token; `-` reads it from standard input, `@FILE` from a file (arguments are visible in the process list)
    #[arg(long, value_name = "TOKEN", conflicts_with_all = ["scopes", "claims"])]
    token: Option<String>,
    #[command(flatten)]
    keys: keys::Source,
    /// Assume a verified token with these scopes, separated by spaces
    #[arg(long, value_name = "SCOPES")]
    scopes: Option<String>,
    /// Add a claim to the assumed token; times may be relative to now, such as `-20m`
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = token::claim)]
    claims: Vec<(String, String)>,
    /// Add a header to the request
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = token::header)]
    headers: Vec<(String, String)>,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
}

impl Args {
    pub(in crate::policy) fn run(self) -> Outcome {
        if self.policy.as_os_str() == "-" && self.token.as_deref() == Some("-") {
            return Err(Error::invalid("the policy and the token cannot both be read from standard input"));
        }
        let mut loaded = Loaded::read(&self.policy)?;
        let (host, path) = target(&self.url)?;
        if host.is_none()
            && let Some(compared) = host_compared(&loaded.policy, &self.headers)
        {
            return Err(no_host(&self.url, &compared));
        }
        let given = match (&self.token, &self.scopes, self.claims.is_empty()) {
            (Some(token), ..) => Given::Token(token::read(token)?),
            (None, None, true) => Given::Nothing,
            (None, scopes, _) => Given::Claims(token::bearer(scopes.as_deref(), &self.claims).map_err(Error::invalid)?),
        };
        let keys_from = match &given {
            Given::Token(token) => self.keys.supply(&mut loaded.policy, token)?,
            Given::Nothing | Given::Claims(_) => None,
        };
        let request = Asked { method: self.method, host, path, headers: self.headers, given, now_ms: now_ms() };
        let explanation = explain(loaded, keys_from, &request)?;
        match self.output {
            Format::Text => output::write_styled(&(text::text(&explanation) + "\n"))?,
            Format::Json => output::write_json(&explanation)?,
        };
        Ok(Exit::Done)
    }
}

/// The host and path of a URL, as a client would send them; no host if it is a path alone.
pub(super) fn target(url: &str) -> Result<(Option<String>, String), Error> {
    let bare = ["https://", "http://", "wss://", "ws://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let is_path = bare.is_none() && url.starts_with('/');
    let bare = bare.unwrap_or(url).split('#').next().unwrap_or_default();
    let (host, path) = bare.split_at_checked(bare.find(['/', '?']).unwrap_or(bare.len())).unwrap_or((bare, ""));
    if host.is_empty() && !is_path {
        return Err(no_host(url, ""));
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(((!is_path).then(|| host.to_owned()), path))
}

/// What a request's host is compared with; `None` if the decision is the same at every host.
fn host_compared(policy: &Policy, headers: &[(String, String)]) -> Option<String> {
    let named = policy.source.routes.iter().position(|route| !route.matches.hosts.is_empty());
    match named.and_then(|index| policy.rules.get(index)) {
        Some(rule) => Some(format!(", and the route `{}` names hosts", rule.name)),
        // A cookie's token is only taken from the same origin.
        None if headers.iter().any(|(name, _)| name == "origin") => {
            Some(", and `origin` is compared with it".to_owned())
        }
        None => None,
    }
}

fn no_host(url: &str, compared: &str) -> Error {
    let url = url.escape_debug();
    Error::invalid(format_args!(
        "no host in `{url}`{compared}: expected a URL such as `https://api.example.com/orders`"
    ))
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or_default()
}
