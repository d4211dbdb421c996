//! Writes the policy as YAML, in the order of the document, with a comment wherever a person has to decide.

use super::{
    access::{Access, Kind},
    placeholders::Placeholders,
    plan::{Answers, Question, Route, Treatment},
    register::Register,
    text::{line, list, scalar},
};
use crate::{
    policy::openapi::{Api, SchemeKind},
    report::counted,
};
use std::fmt::{self, Write};

/// Marks for everything that needs attention.
const FILL_IN: &str = "FILL IN";
const QUESTION: &str = "QUESTION";

/// Writes the policy. The same document and arguments always produce the same text.
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
    if !routes.iter().any(|route| matches!(route.treatment, Treatment::Rule { .. })) {
        writeln!(
            out,
            "  # {FILL_IN}: no operation became a route, and a policy needs at least one. This one matches no operation."
        )?;
        writeln!(
            out,
            "  - {{name: placeholder, match: {{path: /placeholder-until-a-question-is-answered}}, authenticated: true}}"
        )?;
    }
    for route in routes {
        match &route.treatment {
            Treatment::Rule { access, left_out } => rule(&mut out, route, access, left_out, register)?,
            Treatment::Ask(question) => asked(&mut out, route, question, register)?,
            Treatment::Merged => {}
        }
    }
    Ok(out)
}

fn head(out: &mut String, api: &Api, source: &str, routes: &[Route<'_>], register: &Register) -> fmt::Result {
    let rules = routes.iter().filter(|route| matches!(route.treatment, Treatment::Rule { .. })).count();
    let questions = routes.iter().filter(|route| matches!(route.treatment, Treatment::Ask(_))).count()
        + routes.iter().filter(|route| route.encoded_slash.is_some()).count();
    writeln!(out, "# Generated from `{}` (`{}`, OpenAPI {})", line(source), line(&api.title), line(&api.openapi))?;
    let (rules, questions) = (counted(rules, "route"), counted(questions, "question"));
    writeln!(out, "# by `portcullis policy import openapi`: {rules}, {questions}.")?;
    writeln!(out, "#")?;
    writeln!(
        out,
        "# Search for {FILL_IN} and {QUESTION}. An operation marked {QUESTION} is refused until you decide, unless a"
    )?;
    writeln!(out, "# comment says otherwise. To decide, edit the commented lines below it and remove their `#`. If a")?;
    writeln!(
        out,
        "# route that requires `{}` follows, delete that route: it only blocks requests that",
        register.block_scope()
    )?;
    writeln!(out, "# the route of another operation would answer.")?;
    let notes = api.notes.iter().map(|note| line(note));
    let tokens = api.schemes.iter().filter(|scheme| matches!(scheme.kind, SchemeKind::Tokens { .. })).count();
    let several = (tokens > 1).then(|| {
        format!(
            "the document has {tokens} schemes with tokens, but every issuer of this policy is accepted by every route"
        )
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
        writeln!(out, "# From the document, about the issuer: {}", line(&server))?;
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
        placeholders.audiences.mark("the audience (`aud`) of the tokens")
    )?;
    writeln!(out, "    algorithms: [ES256, RS256] # {FILL_IN}: the algorithms that the issuer signs with")?;
    let keys = format!(
        "{{jwks_url: {}, cluster: {}, refresh: 10m}}",
        scalar(placeholders.jwks_url.get()),
        scalar(placeholders.cluster.get())
    );
    let mark = match (placeholders.jwks_url.mark("").is_empty(), placeholders.cluster.mark("").is_empty()) {
        (true, true) => String::new(),
        _ => format!(" # {FILL_IN}: the `jwks_uri` from the issuer's metadata, and the Envoy cluster for it"),
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
        writeln!(out, "  # {QUESTION}: the scope {} is omitted: {}", quoted(&line(scope)), line(why))?;
    }
    if !register.sets().is_empty() {
        writeln!(out, "sets: # groups of scopes that operations accept as alternatives")?;
    }
    for (name, scopes) in register.sets() {
        writeln!(out, "  {}: {}", scalar(name), list(scopes))?;
    }
    Ok(())
}

/// Always in quotes.
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
        writeln!(out, "  # also {}, which matches the same requests", line(also))?;
    }
    for left_out in left_out {
        writeln!(out, "  # Note: {}.", line(left_out))?;
    }
    if *access == Access::Authenticated {
        writeln!(out, "  # The document requires a token, but no scope.")?;
    }
    if *access == Access::Optional {
        writeln!(out, "  # The document makes the token optional.")?;
    }
    let Some(answers) = &route.answers else { return Ok(()) };
    encoded_slash(out, route, answers)?;
    writeln!(out, "  - name: {}", scalar(&route.name))?;
    writeln!(out, "    match: {}", answers.written(&answers.hosts))?;
    writeln!(out, "    {}", written(access, register))
}

/// The rule without the encoded slash stands: only the paths that have one are refused until somebody decides.
fn encoded_slash(out: &mut String, route: &Route<'_>, answers: &Answers) -> fmt::Result {
    let Some(why) = &route.encoded_slash else { return Ok(()) };
    writeln!(out, "  # {QUESTION}: {}: {}.", Kind::EncodedSlash.question(), line(why))?;
    writeln!(out, "  # If it may, and the upstream splits the path before it decodes it, the route below needs:")?;
    writeln!(out, "  #   match: {}", answers.written_with(&answers.hosts, ", encoded_slash: segment"))
}

fn asked(out: &mut String, route: &Route<'_>, question: &Question, register: &Register) -> fmt::Result {
    title(out, route)?;
    writeln!(out, "  # {QUESTION}: {}: {}.", question.kind.question(), line(&question.why))?;
    let rules: Vec<_> = question.meanwhile.iter().take(3).map(|name| format!("`{}`", line(name))).collect();
    let rules = rules.join(", ");
    let Some(answers) = &route.answers else {
        if !rules.is_empty() {
            writeln!(out, "  # UNTIL THEN, THE ROUTES OF OTHER OPERATIONS ANSWER ITS REQUESTS: {rules}.")?;
        }
        return Ok(());
    };
    let likely = match &question.likely {
        Some(access) => written(access, register),
        None => "authenticated: true # or `public: true`, or `require: {all_of: […]}`".to_owned(),
    };
    encoded_slash(out, route, answers)?;
    writeln!(out, "  # - name: {}", scalar(&route.name))?;
    writeln!(out, "  #   match: {}", answers.written(&answers.hosts))?;
    writeln!(out, "  #   {likely}")?;
    if let Some(hosts) = &question.block {
        writeln!(out, "  - name: {} # otherwise {rules} would answer", scalar(&route.name))?;
        writeln!(out, "    match: {}", answers.written(hosts))?;
        writeln!(out, "    require: {{all_of: {}}}", list(&[register.block_scope()]))?;
    }
    Ok(())
}

impl Answers {
    fn written(&self, hosts: &[String]) -> String {
        self.written_with(hosts, "")
    }

    fn written_with(&self, hosts: &[String], more: &str) -> String {
        let hosts = if hosts.is_empty() { String::new() } else { format!("hosts: {}, ", list(hosts)) };
        let methods = self.method.as_ref().map(|method| format!("methods: {}, ", list(&[method]))).unwrap_or_default();
        format!("{{{hosts}{methods}path: {}{more}}}", scalar(&self.path))
    }
}

fn written(access: &Access, register: &Register) -> String {
    match access {
        Access::Public => "public: true".to_owned(),
        Access::Optional => "authenticated: optional".to_owned(),
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
