//! `portcullis policy import openapi`: generates a policy from an OpenAPI document.

use super::{
    access::Kind,
    placeholders::{Placeholder, Placeholders},
    plan::{self, Route, Treatment},
    register::Register,
    text::line,
    write,
};
use crate::{
    document::Document,
    error::Error,
    exit::{Exit, Outcome},
    output,
    policy::openapi::Api,
    report::{self, counted},
};
use portcullis_engine::policy::Policy;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

const EXAMPLES: &str = "\
What the document leaves open becomes a question in a comment of the policy, and its requests are
refused until somebody answers it: operations without security, operations that require API keys
or passwords instead of tokens, and paths and scopes that are not valid in a policy. Encoded slashes
in a path (`%2F`) are a question of their own, if the document suggests them: until it is answered,
only they are refused. Standard error lists the questions. A path that is not valid in a policy
(`/x/{id}.json`) cannot be refused on its own: if the route of another operation (`/x/{id}`) answers
its requests in the meantime, the policy and standard error say so in capital letters.

Routes do not name hosts, unless `--hosts` is used or the operations are on different hosts.

Examples:
  portcullis policy import openapi openapi.yaml --out policy.yaml
  portcullis policy import openapi api.json --issuer https://id.example.com --audience api \\
      > policy.yaml";

/// Generate a policy from an OpenAPI document
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// OpenAPI document (3.0, 3.1 or 3.2; YAML or JSON); `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write the policy to this file [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Overwrite an existing file with different content
    #[arg(long, requires = "out")]
    force: bool,
    /// Restrict rules to the hosts of the document's servers
    #[arg(long)]
    hosts: bool,
    /// Issuer of the tokens (`iss`) [default: a placeholder]
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// Audience that tokens must have (`aud`); can be repeated [default: a placeholder]
    #[arg(long, value_name = "AUDIENCE")]
    audience: Vec<String>,
    /// URL of the issuer's keys [default: ISSUER/jwks]
    #[arg(long, value_name = "URL")]
    jwks_url: Option<String>,
    /// Envoy cluster for fetching the issuer's keys [default: id]
    #[arg(long, value_name = "CLUSTER")]
    cluster: Option<String>,
    /// Envoy cluster of the session service [default: session]
    #[arg(long, value_name = "CLUSTER")]
    session_cluster: Option<String>,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let api = Api::read(&self.file)?;
        let source = self.file.file_name().map_or("-".into(), |name| name.to_string_lossy());
        let made = make(&api, &source, self.hosts, &self.placeholders()).map_err(|error| error.at(&self.file))?;
        match &self.out {
            None => drop(output::write(&made.text)?),
            Some(out) => store(out, &made.text, self.force)?,
        }
        output::message(&made.summary);
        Ok(Exit::Done)
    }

    fn placeholders(&self) -> Placeholders {
        let own = |given: &Option<String>, otherwise: &str| Placeholder::new(given.clone(), otherwise.to_owned());
        let issuer = own(&self.issuer, "https://id.example.com");
        let jwks_url = own(&self.jwks_url, &format!("{}/jwks", issuer.get().trim_end_matches('/')));
        let audiences = Some(self.audience.clone()).filter(|audiences| !audiences.is_empty());
        Placeholders {
            issuer,
            jwks_url,
            audiences: Placeholder::new(audiences, vec!["example-api".to_owned()]),
            cluster: own(&self.cluster, "id"),
            session_cluster: own(&self.session_cluster, "session"),
        }
    }
}

/// A generated policy and its summary.
#[derive(Debug)]
pub(super) struct Imported {
    pub(super) text: String,
    pub(super) summary: String,
}

/// Why no policy was generated.
#[derive(Debug)]
pub(super) enum ImportError {
    /// The document exceeds a limit of policies.
    TooMuch(String),
    /// The arguments are not valid in a policy.
    Arguments(Vec<String>),
    /// The policy is invalid: a bug in this program.
    Bug(Vec<String>),
}

impl ImportError {
    fn at(self, file: &Path) -> Error {
        match self {
            Self::TooMuch(why) => Error::invalid(format_args!("`{}`: {why}", file.display())),
            Self::Arguments(faults) => {
                Error::invalid(format_args!("with these arguments the policy would be invalid:\n{}", faults.join("\n")))
            }
            Self::Bug(faults) => Error::failed(format_args!(
                "the generated policy is invalid and was not written; please report this bug in `portcullis`:\n{}",
                faults.join("\n")
            )),
        }
    }
}

/// Generates a policy and validates it with the filter's own code.
pub(super) fn make(api: &Api, source: &str, hosts: bool, placeholders: &Placeholders) -> Result<Imported, ImportError> {
    let routes = plan::plan(api, hosts || plan::is_on_different_hosts(api)).map_err(ImportError::TooMuch)?;
    let register = Register::new(api, &routes).map_err(ImportError::TooMuch)?;
    let bug = |message: String| ImportError::Bug(vec![message]);
    let text = write::policy(api, source, &routes, &register, placeholders).map_err(|error| bug(error.to_string()))?;
    let document = Document::parse("policy.yaml", text).map_err(|faults| bug(report::diagnosed_file(&faults)))?;
    match Policy::parse(document.json().as_bytes()) {
        Ok(_) => Ok(Imported { text: document.text().to_owned(), summary: summary(api, &routes, &register) }),
        Err(faults) => {
            let from_arguments = |path: &str| path.starts_with("$.issuers") || path.starts_with("$.session");
            let lines = faults.iter().map(ToString::to_string).collect();
            if faults.iter().all(|fault| from_arguments(&fault.path)) {
                Err(ImportError::Arguments(lines))
            } else {
                Err(ImportError::Bug(lines))
            }
        }
    }
}

/// The summary for standard error: every question, by kind.
fn summary(api: &Api, routes: &[Route<'_>], register: &Register) -> String {
    let mut asked: BTreeMap<_, Vec<String>> = BTreeMap::new();
    let (mut rules, mut narrowed) = (0, 0);
    for route in routes {
        let method = route.operation.method.as_deref().unwrap_or("(any method)");
        let label = |why: &str| format!("{} {}: {}", line(method), line(&route.document_path), line(why));
        if let Some(why) = &route.encoded_slash {
            asked.entry(Kind::EncodedSlash).or_default().push(label(why));
        }
        match &route.treatment {
            Treatment::Rule { left_out, .. } => {
                rules += 1;
                narrowed += usize::from(!left_out.is_empty());
            }
            Treatment::Ask(question) => {
                let mut label = label(&question.why);
                if let Some(other) = route.answered_meanwhile().first() {
                    label.push_str(&format!("; UNTIL THEN, ROUTE `{}` ANSWERS IT", line(other)));
                }
                asked.entry(question.kind).or_default().push(label);
            }
            Treatment::Merged => {}
        }
    }
    let questions: usize = asked.values().map(Vec::len).sum();
    let open = routes.iter().filter(|route| !route.answered_meanwhile().is_empty()).count();
    let but =
        if open == 0 { String::new() } else { format!(", except {open} that the route of another operation answers") };
    let mut lines = Vec::new();
    for (kind, labels) in asked {
        lines.push(format!("{} ({}):", kind.question(), labels.len()));
        lines.extend(labels.into_iter().map(|label| format!("  {label}")));
    }
    if !register.refused().is_empty() {
        lines.push(format!("scopes that are not valid in a policy ({}):", register.refused().len()));
        lines.extend(register.refused().iter().map(|(scope, why)| format!("  {:?}: {}", line(scope), line(why))));
    }
    lines.extend(api.notes.iter().map(|note| format!("note: {}", line(note))));
    lines.push(format!(
        "{}: {} ({narrowed} of them without one of the document's alternatives), {} (refused until answered{but}), {}",
        counted(api.operations.len(), "operation"),
        counted(rules, "route"),
        counted(questions, "question"),
        counted(register.scopes().len(), "scope"),
    ));
    lines.join("\n")
}

/// Writes the file. An existing file with different content may contain answers that exist nowhere else.
fn store(out: &Path, text: &str, force: bool) -> Result<(), Error> {
    let name = out.display();
    match fs::read(out) {
        Ok(there) if there == text.as_bytes() => return Ok(()),
        Ok(_) if !force => {
            return Err(Error::failed(format_args!(
                "`{name}` exists and has different content; use `--force` to overwrite it"
            )));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::failed(format_args!("cannot read `{name}`: {error}")));
        }
        Ok(_) | Err(_) => {}
    }
    fs::write(out, text).map_err(|error| Error::failed(format_args!("cannot write `{name}`: {error}")))
}
