//! The policy as YAML for people: in the order of the document, with a comment wherever somebody has to decide.

use super::{
    access::Access,
    openapi::Placeholders,
    plan::{Answers, Fate, Question, Route},
    register::Register,
    text::{line, list, scalar},
};
use crate::policy::openapi::{Api, SchemeKind};
use std::fmt::{self, Write};

/// What marks everything that somebody has to look at.
const FILL_IN: &str = "FILL IN";
const QUESTION: &str = "QUESTION";

/// Writes the policy. The text is the same for the same document and arguments.
pub(super) fn policy(
    api: &Api,
    source: &str,
    routes: &[Route<'_>],
    register: &Register,
    placeholders: &Placeholders,
) -> Result<String, fmt::Error> {
    let mut out = String::new();
    head(&mut out, api, source, routes, register)?;
    issuers(&mut out, api, placeholders)?;
    session(&mut out, placeholders)?;
    scopes(&mut out, register)?;
    writeln!(out, "routes:")?;
    if !routes.iter().any(|route| matches!(route.fate, Fate::Rule { .. })) {
        writeln!(
            out,
            "  # {FILL_IN}: no operation could be made a rule, and a policy needs one. This one answers nothing that exists."
        )?;
        writeln!(
            out,
            "  - {{name: placeholder, match: {{path: /placeholder-until-a-question-is-answered}}, authenticated: true}}"
        )?;
    }
    for route in routes {
        match &route.fate {
            Fate::Rule { access, left_out } => rule(&mut out, route, access, left_out, register)?,
            Fate::Ask(question) => asked(&mut out, route, question, register)?,
            Fate::Merged => {}
        }
    }
    Ok(out)
}

fn head(out: &mut String, api: &Api, source: &str, routes: &[Route<'_>], register: &Register) -> fmt::Result {
    let rules = routes.iter().filter(|route| matches!(route.fate, Fate::Rule { .. })).count();
    let questions = routes.iter().filter(|route| matches!(route.fate, Fate::Ask(_))).count();
    writeln!(out, "# Made of `{}` (`{}`, OpenAPI {})", line(source), line(&api.title), line(&api.openapi))?;
    writeln!(out, "# by `portcullis policy import openapi`: {rules} rules, {questions} questions.")?;
    writeln!(out, "#")?;
    writeln!(
        out,
        "# Look for {FILL_IN} and {QUESTION}. What has a question is refused until it is answered, unless it says otherwise: correct the lines in comments"
    )?;
    writeln!(
        out,
        "# below it, and take away their `#`. Where a rule that asks for `{}` stands there as well,",
        register.bar()
    )?;
    writeln!(out, "# delete that: it keeps the requests from another operation's rule.")?;
    let notes = api.notes.iter().map(|note| line(note));
    let tokens = api.schemes.iter().filter(|scheme| matches!(scheme.kind, SchemeKind::Tokens { .. })).count();
    let several = (tokens > 1).then(|| {
        format!("the document has {tokens} schemes with tokens; every issuer of this policy counts for every rule")
    });
    for note in notes.chain(several) {
        writeln!(out, "# Note: {note}.")?;
    }
    writeln!(out)
}

fn issuers(out: &mut String, api: &Api, placeholders: &Placeholders) -> fmt::Result {
    let servers = api.schemes.iter().flat_map(|scheme| match &scheme.kind {
        SchemeKind::Tokens { servers, .. } => {
            servers.iter().map(|server| format!("{}: {server}", scheme.name)).collect()
        }
        SchemeKind::Other(_) => Vec::new(),
    });
    for server in servers {
        writeln!(out, "# The document says of the issuer: {}", line(&server))?;
    }
    writeln!(out, "issuers:")?;
    writeln!(
        out,
        "  - issuer: {}{}",
        scalar(placeholders.issuer.get()),
        placeholders.issuer.mark("`iss` of the tokens")
    )?;
    writeln!(
        out,
        "    audiences: {}{}",
        list(placeholders.audiences.get()),
        placeholders.audiences.mark("what `aud` must hold")
    )?;
    writeln!(out, "    algorithms: [ES256, RS256] # {FILL_IN}: those that the issuer signs with")?;
    let keys = format!(
        "{{jwks_url: {}, cluster: {}, refresh: 10m}}",
        scalar(placeholders.jwks_url.get()),
        scalar(placeholders.cluster.get())
    );
    let mark = match (placeholders.jwks_url.mark("").is_empty(), placeholders.cluster.mark("").is_empty()) {
        (true, true) => String::new(),
        _ => format!(" # {FILL_IN}: `jwks_uri` of the issuer's metadata, and the Envoy cluster that leads there"),
    };
    writeln!(out, "    keys: {keys}{mark}")
}

fn session(out: &mut String, placeholders: &Placeholders) -> fmt::Result {
    let mark = placeholders.session_cluster.mark("the Envoy cluster of the session service");
    writeln!(out, "session:")?;
    writeln!(out, "  cluster: {}{mark}", scalar(placeholders.session_cluster.get()))?;
    writeln!(out, "  timeout: 200ms")?;
    writeln!(out, "  credential: {{env: PORTCULLIS_FILTER_CREDENTIAL}}")
}

fn scopes(out: &mut String, register: &Register) -> fmt::Result {
    if register.is_empty() {
        writeln!(out, "scopes: {{}}")?;
    } else {
        writeln!(out, "scopes:")?;
    }
    for scope in register.scopes() {
        let description = scope.description.as_deref().map(|text| format!("description: {}", quoted(text)));
        let remark = scope.remark.map(|remark| format!(" # {remark}")).unwrap_or_default();
        writeln!(out, "  {}: {{{}}}{remark}", scalar(&scope.name), description.unwrap_or_default())?;
    }
    for (scope, why) in register.refused() {
        writeln!(out, "  # {QUESTION}: the scope {} is left out: {}", quoted(&line(scope)), line(why))?;
    }
    if !register.sets().is_empty() {
        writeln!(out, "sets: # groups of scopes of which an operation asks for one")?;
    }
    for (name, scopes) in register.sets() {
        writeln!(out, "  {}: {}", scalar(name), list(scopes))?;
    }
    Ok(())
}

/// In quotes, whether it needs them or not.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

fn title(out: &mut String, route: &Route<'_>) -> fmt::Result {
    let method = route.operation.method.as_deref().unwrap_or("(any method)");
    write!(out, "  # {} {}", line(method), line(&route.document_path))?;
    match route.operation.summary.as_deref().map(line).filter(|summary| !summary.is_empty()) {
        Some(summary) => writeln!(out, ": {summary}"),
        None => writeln!(out),
    }
}

fn rule(out: &mut String, route: &Route<'_>, access: &Access, left_out: &[String], register: &Register) -> fmt::Result {
    title(out, route)?;
    for also in &route.also {
        writeln!(out, "  # and {}, which matches the same requests", line(also))?;
    }
    for left_out in left_out {
        writeln!(out, "  # Note: {}.", line(left_out))?;
    }
    if *access == Access::Authenticated {
        writeln!(out, "  # The document asks for a token, and for no scope.")?;
    }
    let Some(answers) = &route.answers else { return Ok(()) };
    writeln!(out, "  - name: {}", scalar(&route.name))?;
    writeln!(out, "    match: {}", answers.written(&answers.hosts))?;
    writeln!(out, "    {}", written(access, register))
}

fn asked(out: &mut String, route: &Route<'_>, question: &Question, register: &Register) -> fmt::Result {
    title(out, route)?;
    writeln!(out, "  # {QUESTION}: {}: {}.", question.kind.question(), line(&question.why))?;
    let rules: Vec<_> = question.meanwhile.iter().take(3).map(|name| format!("`{}`", line(name))).collect();
    let rules = rules.join(", ");
    let Some(answers) = &route.answers else {
        if !rules.is_empty() {
            writeln!(out, "  # UNTIL THEN, RULES OF OTHER OPERATIONS ANSWER SUCH REQUESTS: {rules}.")?;
        }
        return Ok(());
    };
    let likely = match &question.likely {
        Some(access) => written(access, register),
        None => "public: true # or `authenticated: true`, or `require: {all_of: […]}`".to_owned(),
    };
    writeln!(out, "  # - name: {}", scalar(&route.name))?;
    writeln!(out, "  #   match: {}", answers.written(&answers.hosts))?;
    writeln!(out, "  #   {likely}")?;
    if let Some(hosts) = &question.bar {
        writeln!(out, "  - name: {} # else {rules} would answer", scalar(&route.name))?;
        writeln!(out, "    match: {}", answers.written(hosts))?;
        writeln!(out, "    require: {{all_of: {}}}", list(&[register.bar()]))?;
    }
    Ok(())
}

impl Answers {
    fn written(&self, hosts: &[String]) -> String {
        let hosts = if hosts.is_empty() { String::new() } else { format!("hosts: {}, ", list(hosts)) };
        let methods = self.method.as_ref().map(|method| format!("methods: {}, ", list(&[method]))).unwrap_or_default();
        format!("{{{hosts}{methods}path: {}}}", scalar(&self.path))
    }
}

fn written(access: &Access, register: &Register) -> String {
    match access {
        Access::Public => "public: true".to_owned(),
        Access::Authenticated => "authenticated: true".to_owned(),
        Access::Scopes(groups) => {
            let (all_of, any_of) = register.requirement(groups);
            let part =
                |key: &str, entries: &[String]| (!entries.is_empty()).then(|| format!("{key}: {}", list(entries)));
            let parts: Vec<_> = [part("all_of", &all_of), part("any_of", &any_of)].into_iter().flatten().collect();
            format!("require: {{{}}}", parts.join(", "))
        }
    }
}
