//! `portcullis policy import openapi`: an OpenAPI document as a policy.

use super::{
    plan::{self, Fate, Route},
    register::Register,
    text::line,
    write,
};
use crate::{
    document::Document,
    exit::{Exit, Outcome, Trouble},
    output,
    policy::openapi::Api,
};
use portcullis_engine::policy::Policy;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

const EXAMPLES: &str = "\
What the document leaves open becomes a question in a comment, and is refused until somebody
answers it: operations without security, keys and passwords instead of tokens, paths and scopes
that a policy can't have. Standard error lists them. A path that a policy can't have (`/x/{id}:copy`)
can't be refused by itself either: where another operation's rule (`/x/{id}`) answers its requests
meanwhile, standard error and the file say so in capitals.

Rules name no hosts, unless `--hosts` asks for them or the operations are on different ones.

Examples:
  portcullis policy import openapi openapi.yaml --out policy.yaml
  portcullis policy import openapi api.json --issuer https://id.example.com --audience api \\
      > policy.yaml";

/// Make a policy of an OpenAPI document
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// An OpenAPI document (3.0, 3.1 or 3.2), YAML or JSON; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where to write the policy; without it, standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write over a file that differs
    #[arg(long, requires = "out")]
    force: bool,
    /// Let rules answer only on the hosts of the document's servers
    #[arg(long)]
    hosts: bool,
    /// `iss` of the tokens
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// What `aud` of the tokens must hold
    #[arg(long, value_name = "AUDIENCE")]
    audience: Vec<String>,
    /// Where the issuer's keys are
    #[arg(long, value_name = "URL")]
    jwks_url: Option<String>,
    /// The Envoy cluster that leads to the issuer's keys
    #[arg(long, value_name = "CLUSTER")]
    cluster: Option<String>,
    /// The Envoy cluster of the session service
    #[arg(long, value_name = "CLUSTER")]
    session_cluster: Option<String>,
}

/// What a document doesn't say.
#[derive(Debug)]
pub(super) struct Placeholders {
    pub(super) issuer: Placeholder<String>,
    pub(super) audiences: Placeholder<Vec<String>>,
    pub(super) jwks_url: Placeholder<String>,
    pub(super) cluster: Placeholder<String>,
    pub(super) session_cluster: Placeholder<String>,
}

/// What the caller said, or something to fill in.
#[derive(Debug)]
pub(super) enum Placeholder<T> {
    Given(T),
    FillIn(T),
}

impl<T> Placeholder<T> {
    fn new(given: Option<T>, otherwise: T) -> Self {
        given.map_or(Self::FillIn(otherwise), Self::Given)
    }

    pub(super) fn get(&self) -> &T {
        let (Self::Given(value) | Self::FillIn(value)) = self;
        value
    }

    /// The comment that asks for it.
    pub(super) fn mark(&self, what: &str) -> String {
        match self {
            Self::Given(_) => String::new(),
            Self::FillIn(_) => format!(" # FILL IN: {what}"),
        }
    }
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let api = Api::read(&self.file)?;
        let source = self.file.file_name().map_or("-".into(), |name| name.to_string_lossy());
        let made = make(&api, &source, self.hosts, &self.placeholders()).map_err(|error| error.trouble(&self.file))?;
        match &self.out {
            None => drop(output::write(&made.text)?),
            Some(out) => store(out, &made.text, self.force)?,
        }
        output::tell(&made.summary);
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

/// A policy and what is to be said of it.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) text: String,
    pub(super) summary: String,
}

/// Why there is no policy.
#[derive(Debug)]
pub(super) enum NotMade {
    /// The document asks for more than a policy can hold.
    TooMuch(String),
    /// What the arguments say has no place in a policy.
    Arguments(Vec<String>),
    /// The policy doesn't load: a fault of this program.
    Bug(Vec<String>),
}

impl NotMade {
    fn trouble(self, file: &Path) -> Trouble {
        match self {
            Self::TooMuch(why) => Trouble::faulty(format_args!("`{}`: {why}", file.display())),
            Self::Arguments(faults) => {
                Trouble::faulty(format_args!("with these arguments the policy would not load:\n{}", faults.join("\n")))
            }
            Self::Bug(faults) => Trouble::failed(format_args!(
                "the policy that was made doesn't load, and is not written; please report this as a fault of `portcullis`:\n{}",
                faults.join("\n")
            )),
        }
    }
}

/// Makes a policy, and has the filter's own code read it.
pub(super) fn make(api: &Api, source: &str, hosts: bool, placeholders: &Placeholders) -> Result<Made, NotMade> {
    let routes = plan::plan(api, hosts || plan::is_on_different_hosts(api)).map_err(NotMade::TooMuch)?;
    let register = Register::new(api, &routes).map_err(NotMade::TooMuch)?;
    let bug = |message: String| NotMade::Bug(vec![message]);
    let text = write::policy(api, source, &routes, &register, placeholders).map_err(|error| bug(error.to_string()))?;
    let document = Document::parse("policy.yaml", text).map_err(|trouble| match trouble {
        Trouble::Failed(message) | Trouble::Faulty(message) => bug(message),
    })?;
    match Policy::parse(document.json().as_bytes()) {
        Ok(_) => Ok(Made { text: document.text().to_owned(), summary: summary(api, &routes, &register) }),
        Err(faults) => {
            let from_arguments = |path: &str| path.starts_with("$.issuers") || path.starts_with("$.session");
            let lines = faults.iter().map(ToString::to_string).collect();
            if faults.iter().all(|fault| from_arguments(&fault.path)) {
                Err(NotMade::Arguments(lines))
            } else {
                Err(NotMade::Bug(lines))
            }
        }
    }
}

/// What is told on standard error: every question, by kind.
fn summary(api: &Api, routes: &[Route<'_>], register: &Register) -> String {
    let mut asked: BTreeMap<_, Vec<String>> = BTreeMap::new();
    let (mut rules, mut narrowed) = (0, 0);
    for route in routes {
        match &route.fate {
            Fate::Rule { left_out, .. } => {
                rules += 1;
                narrowed += usize::from(!left_out.is_empty());
            }
            Fate::Ask(question) => {
                let method = route.operation.method.as_deref().unwrap_or("(any method)");
                let mut label = format!("{} {}: {}", line(method), line(&route.document_path), line(&question.why));
                if let Some(other) = route.answered_meanwhile().first() {
                    label.push_str(&format!("; UNTIL THEN `{}` ANSWERS IT", line(other)));
                }
                asked.entry(question.kind).or_default().push(label);
            }
            Fate::Merged => {}
        }
    }
    let questions: usize = asked.values().map(Vec::len).sum();
    let open = routes.iter().filter(|route| !route.answered_meanwhile().is_empty()).count();
    let but = if open == 0 { String::new() } else { format!(", but for {open} that another operation's rule answers") };
    let mut lines = Vec::new();
    for (kind, labels) in asked {
        lines.push(format!("{} ({}):", kind.question(), labels.len()));
        lines.extend(labels.into_iter().map(|label| format!("  {label}")));
    }
    if !register.refused().is_empty() {
        lines.push(format!("scopes that can't be in a policy ({}):", register.refused().len()));
        lines.extend(register.refused().iter().map(|(scope, why)| format!("  {:?}: {}", line(scope), line(why))));
    }
    lines.extend(api.notes.iter().map(|note| format!("note: {}", line(note))));
    lines.push(format!(
        "{} operations: {rules} rules ({narrowed} of them leave out an alternative of the document), {questions} questions \
         (refused until they are answered{but}), {} scopes",
        api.operations.len(),
        register.scopes().len(),
    ));
    lines.join("\n")
}

/// Writes the file. What stands there and differs may have answers in it that nobody has elsewhere.
fn store(out: &Path, text: &str, force: bool) -> Result<(), Trouble> {
    let name = out.display();
    match fs::read(out) {
        Ok(there) if there == text.as_bytes() => return Ok(()),
        Ok(_) if !force => {
            return Err(Trouble::failed(format_args!("`{name}` exists and differs; give `--force` to write over it")));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Trouble::failed(format_args!("`{name}` can't be read: {error}")));
        }
        Ok(_) | Err(_) => {}
    }
    fs::write(out, text).map_err(|error| Trouble::failed(format_args!("`{name}` can't be written: {error}")))
}
