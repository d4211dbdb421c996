//! For each warning a policy that has it, and one that just has not.

mod surroundings;

use super::{Bounds, Warning, lint};
use crate::{diagnostic::Diagnostic, policy::load::Loaded, report};

fn loaded(text: &str) -> Loaded {
    Loaded::parse("policy.yaml", text).unwrap_or_else(|faults| panic!("{}", report::diagnosed_file(&faults)))
}

fn found(loaded: &Loaded) -> Vec<(Warning, Diagnostic)> {
    let today = "2027-03-01".parse().expect("a day");
    lint(loaded, today, Bounds { routes_per_scope_max: 2 })
}

/// Each warning as its code, its path, and what it points at.
fn warnings(text: &str) -> Vec<String> {
    let loaded = loaded(text);
    let line = |(warning, found): &(Warning, Diagnostic)| {
        assert_eq!(warning.code(), found.code);
        assert!(found.help.is_some() && found.severity == crate::diagnostic::Severity::Warning);
        format!("{} {} {}", found.code, found.path, text.get(found.span.clone()).expect("within"))
    };
    found(&loaded).iter().map(line).collect()
}

const ISSUERS: &str = "
issuers:
  - {issuer: a, audiences: [a], algorithms: [ES256], keys: {inline: {keys: [{}]}}}
session: {cluster: s}
";

/// Puts a part in place of another in a policy without a warning.
fn with(part: &str, other: &str) -> Vec<String> {
    let whole = format!(
        "mode: enforce\n{ISSUERS}scopes: {{a: {{review_by: 2027-03-01}}, b: {{}}, c: {{}}, d: {{}}}}\n\
         sets: {{cd: [c, d]}}\n\
         routes:\n\
         - {{name: one, match: {{path: /1}}, require: {{all_of: [a]}}, session: {{max_idle: 60m, max_age: 24h}}}}\n\
         - {{name: two, match: {{path: '/2/{{id}}'}}, require: {{any_of: [a, b]}}}}\n\
         - {{name: three, match: {{path: /3}}, require: {{all_of: [a, b], any_of: ['@cd']}}}}\n\
         - {{name: four, match: {{path: '/4/{{*rest}}'}}, authenticated: true}}\n"
    );
    assert!(whole.contains(part), "{part}");
    warnings(&whole.replace(part, other))
}

#[test]
fn a_policy_without_anything_to_look_at_has_no_warning() {
    assert_eq!(with("mode", "mode"), [""; 0]);
}

#[test]
fn each_warning_has_its_place() {
    for (part, other, expected) in [
        ("review_by: 2027-03-01", "review_by: 2027-02-28", "scope_review_overdue $.scopes.a.review_by 2027-02-28"),
        ("d: {}}", "d: {}, e: {}}", "scope_unused $.scopes.e e"),
        ("cd: [c, d]", "cd: [c, d], ab: [a, b]", "set_unused $.sets.ab ab"),
        ("mode: enforce", "mode: shadow", "shadow_mode $.mode shadow"),
        ("{name: four, ", "{name: four, mode: shadow, ", "shadow_mode $.routes[3].mode shadow"),
        (
            "algorithms: [ES256]",
            "algorithms: [ES256], clients: [a], token_types: [at+jwt, application/JWT]",
            "token_type_jwt $.issuers[0].token_types[1] application/JWT",
        ),
        (
            "algorithms: [ES256]",
            "algorithms: [ES256], scope_claims: [scope, realm_access.roles]",
            "scope_claim_dotted $.issuers[0].scope_claims[1] realm_access.roles",
        ),
        (
            "algorithms: [ES256]",
            "algorithms: [ES256], scope_claims: ['a-b.c_d.e']",
            "scope_claim_dotted $.issuers[0].scope_claims[0] 'a-b.c_d.e'",
        ),
        ("audiences: [a]", "clients: [a]", "audience_open $.issuers[0].clients clients"),
        (
            "algorithms: [ES256]",
            "algorithms: [ES256], bound_tokens: bearer",
            "bound_tokens_bearer $.issuers[0].bound_tokens bearer",
        ),
        ("cluster: s", "cluster: s, on_outage: read_only", "outage_not_denied $.session.on_outage read_only"),
        ("cluster: s", "cluster: s, on_outage: {grace: 5s}", "outage_not_denied $.session.on_outage on_outage"),
        ("max_idle: 60m", "on_outage: read_only", "outage_not_denied $.routes[0].session.on_outage read_only"),
        ("cluster: s", "cluster: s, freshness: {lease: 2s}", "lease_long $.session.freshness.lease 2s"),
        ("max_idle: 60m", "freshness: {lease: 1001ms}", "lease_long $.routes[0].session.freshness.lease 1001ms"),
        ("max_idle: 60m", "max_idle: 3601s", "session_limit_loose $.routes[0].session.max_idle 3601s"),
        ("max_age: 24h", "max_age: 25h", "session_limit_loose $.routes[0].session.max_age 25h"),
        ("authenticated: true", "public: true", "public_subtree $.routes[3].match.path '/4/{*rest}'"),
        ("any_of: ['@cd']", "any_of: [a, '@cd']", ""),
        ("all_of: [a, b], any_of: ['@cd']", "any_of: [a, '@cd']", "scope_too_coarse $.scopes.a a"),
    ] {
        let expected: Vec<_> = Some(expected).filter(|line| !line.is_empty()).into_iter().collect();
        assert_eq!(with(part, other), expected, "{other}");
    }
}

#[test]
fn what_just_is_no_reason_gives_none() {
    for (part, other) in [
        ("review_by: 2027-03-01", "review_by: 2027-03-02"),
        ("algorithms: [ES256]", "algorithms: [ES256], token_types: [at+jwt, jwt-at]"),
        ("algorithms: [ES256]", "algorithms: [ES256], bound_tokens: refuse"),
        (
            "algorithms: [ES256]",
            "algorithms: [ES256], scope_claims: [scope, /realm_access/roles, 'https://example.com/roles']",
        ),
        ("algorithms: [ES256]", "algorithms: [ES256], scope_claims: ['urn:a.b:roles', '.a', 'a.', 'a..b']"),
        ("audiences: [a]", "clients: [a], claims: {token_use: access}"),
        ("audiences: [a]", "audiences: [a], clients: [a]"),
        ("cluster: s", "cluster: s, on_outage: deny"),
        ("cluster: s", "cluster: s, freshness: {lease: 1s}"),
        ("max_idle: 60m", "freshness: each_request"),
        ("max_idle: 60m", "max_idle: 60m, on_outage: deny"),
        ("'/4/{*rest}'}, authenticated", "'/4/{one}'}, public"),
        ("any_of: [a, b]", "all_of: [b]"),
    ] {
        assert_eq!(with(part, other), [""; 0], "{other}");
    }
}

#[test]
fn a_scope_with_a_comma_is_one_scope() {
    let lines = warnings(&format!(
        "{ISSUERS}scopes: {{'a,b': {{}}}}\nroutes: [{{name: one, match: {{path: /1}}, require: {{all_of: ['a,b']}}}}]\n"
    ));
    assert_eq!(lines, ["scope_comma $.scopes['a,b'] 'a,b'"]);
}

#[test]
fn a_scope_of_a_set_that_no_rule_uses_is_unused_with_it() {
    let lines = with(", any_of: ['@cd']", "");
    assert_eq!(lines, ["scope_unused $.scopes.c c", "scope_unused $.scopes.d d", "set_unused $.sets.cd cd"]);
}

/// Two rules, the second more specific; what the first is told.
fn shadow(wide: &str, narrow: &str) -> Option<String> {
    let text = format!(
        "{ISSUERS}scopes: {{a: {{}}, b: {{}}}}\nroutes:\n- {{name: wide, {wide}}}\n- {{name: narrow, {narrow}}}\n"
    );
    let loaded = loaded(&text);
    let mut shadows = found(&loaded).into_iter().filter(|(warning, _)| *warning == Warning::RouteShadowed);
    let (_, first) = shadows.next()?;
    assert!(shadows.next().is_none());
    assert_eq!(first.path, "$.routes[0].match.path", "{wide} {narrow}");
    let [(span, _)] = first.related.as_slice() else { panic!("{first:?}") };
    assert!(text.get(span.clone()).expect("within").starts_with(['/', '\'']));
    let message = first.message.strip_prefix("`wide` does not protect everything it matches: ").expect("its words");
    Some(message.replace(" is decided by `narrow`, which", ""))
}

#[test]
fn a_rule_is_told_of_a_more_specific_one_that_is_easier_to_pass() {
    for (wide, narrow, expected) in [
        (
            "match: {path: '/o/{id}'}, require: {all_of: [a]}",
            "match: {path: /o/x}, public: true",
            "`GET /o/x` is public",
        ),
        (
            "match: {path: '/o/{*r}'}, require: {all_of: [a]}",
            "match: {path: '/o/{id}'}, authenticated: true",
            "`GET /o/x` requires no scope",
        ),
        (
            "match: {path: '/o/{*r}'}, require: {all_of: [a, b]}",
            "match: {path: '/o/{x}/x', methods: [PUT]}, require: {all_of: [b]}",
            "`PUT /o/x1/x` requires only `b`",
        ),
        (
            "match: {path: '/o/{id}', methods: [PUT, GET]}, require: {all_of: [a]}",
            "match: {path: /o/x, methods: [GET, HEAD]}, require: {any_of: [a, b]}",
            "`GET /o/x` requires only `a` or `b`",
        ),
        (
            "match: {path: '/o/{*r}'}, require: {all_of: [a]}",
            "match: {path: /o/x}, require: {all_of: [b]}",
            "`GET /o/x` requires `b` instead",
        ),
        (
            "match: {path: '/o/{id}'}, authenticated: true, acr: [aal2]",
            "match: {path: /o/x}, authenticated: true, acr: [aal2, aal1]",
            "`GET /o/x` accepts a weaker login (`acr`)",
        ),
        (
            "match: {path: '/o/{id}'}, authenticated: true, session: {max_age: 5m}",
            "match: {path: /o/x}, authenticated: true",
            "`GET /o/x` accepts an older login (`max_age`)",
        ),
        (
            "match: {path: '/o/{id}'}, authenticated: true, session: {max_idle: 5m}",
            "match: {path: /o/x}, authenticated: true, session: {max_idle: 6m}",
            "`GET /o/x` accepts a longer idle time (`max_idle`)",
        ),
        // A host goes before any path.
        (
            "match: {path: /admin/x}, authenticated: true",
            "match: {path: '/{*r}', hosts: [h.org]}, public: true",
            "`GET h.org/admin/x` is public",
        ),
        (
            "match: {path: '/{*r}', hosts: ['*.org']}, authenticated: true",
            "match: {path: /a, hosts: ['*.h.org', h.com]}, public: true",
            "`GET x.h.org/a` is public",
        ),
        // Both have a parameter where the other has none: the leftmost text wins.
        (
            "match: {path: '/o/{a}/b'}, authenticated: true",
            "match: {path: '/o/a/{b}'}, public: true",
            "`GET /o/a/b` is public",
        ),
    ] {
        assert_eq!(shadow(wide, narrow).as_deref(), Some(expected), "{wide} {narrow}");
    }
}

#[test]
fn a_more_specific_rule_that_asks_for_as_much_or_answers_other_requests_is_no_reason() {
    for (wide, narrow) in [
        ("match: {path: '/o/{id}'}, require: {all_of: [a]}", "match: {path: /o/x}, require: {all_of: [a]}"),
        ("match: {path: '/o/{id}'}, require: {any_of: [a, b]}", "match: {path: /o/x}, require: {all_of: [a]}"),
        ("match: {path: '/o/{id}'}, authenticated: true", "match: {path: /o/x}, require: {all_of: [a]}"),
        ("match: {path: '/o/{id}'}, public: true", "match: {path: /o/x}, authenticated: true"),
        // One resource beside others, with a scope of its own.
        ("match: {path: '/o/{id}'}, require: {all_of: [a]}", "match: {path: /o/x}, require: {all_of: [b]}"),
        // What remains for all else is no guard.
        ("match: {path: '/{*r}'}, require: {all_of: [a]}", "match: {path: /healthz}, public: true"),
        ("match: {path: '/{id}'}, require: {all_of: [a]}", "match: {path: /healthz}, public: true"),
        // No request fits both.
        (
            "match: {path: '/o/{id}', methods: [GET]}, authenticated: true",
            "match: {path: /o/x, methods: [PUT]}, public: true",
        ),
        ("match: {path: '/o/{id}'}, authenticated: true", "match: {path: /o/x/y}, public: true"),
        ("match: {path: '/o/{id}'}, authenticated: true", "match: {path: /o/}, public: true"),
        ("match: {path: '/o/{*r}'}, authenticated: true", "match: {path: /o}, public: true"),
        (
            "match: {path: '/o/{id}', hosts: [a.org]}, authenticated: true",
            "match: {path: /o/x, hosts: [b.org]}, public: true",
        ),
        // The one that is easier to pass is the less specific one.
        ("match: {path: '/o/{id}', hosts: [a.org]}, authenticated: true", "match: {path: /o/x}, public: true"),
        (
            "match: {path: '/o/{id}'}, authenticated: true, acr: [aal1, aal2], session: {max_age: 5m}",
            "match: {path: /o/x}, authenticated: true, acr: [aal2], session: {max_age: 4m}",
        ),
    ] {
        assert_eq!(shadow(wide, narrow), None, "{wide} {narrow}");
    }
}

#[test]
fn a_rule_for_everything_under_a_path_is_told_that_the_path_itself_falls_to_a_more_permissive_one() {
    let told = |rules: &str| {
        let loaded = loaded(&format!("{ISSUERS}scopes: {{a: {{}}, b: {{}}}}\nroutes:\n{rules}"));
        let all = found(&loaded).into_iter().filter(|(warning, _)| *warning == Warning::PrefixFallsThrough);
        all.map(|(_, told)| format!("{} {}", told.path, told.message)).collect::<Vec<_>>()
    };
    let admin = "- {name: admin, match: {path: '/admin/{*rest}'}, require: {all_of: [a]}}\n";
    let all = "- {name: all, match: {path: '/{*rest}'}, authenticated: true}\n";
    let exact = "- {name: root, match: {path: /admin}, require: {all_of: [a]}}\n";
    let slash = "- {name: slash, match: {path: /admin/}, require: {all_of: [a, b]}}\n";
    let words = "$.routes[0].match.path `admin` does not protect the path before its `{*name}`: ";
    assert_eq!(
        told(&[admin, all].concat()),
        [format!("{words}`GET /admin` is decided by `all`, which requires no scope")]
    );
    let left = told(&[admin, all, exact].concat());
    assert_eq!(left, [format!("{words}`GET /admin/` is decided by `all`, which requires no scope")]);
    assert_eq!(told(&[admin, all, exact, slash].concat()), [""; 0]);
    assert_eq!(told(admin), [""; 0], "where no route answers, the request is refused");
    let post =
        "- {name: admin, match: {hosts: [h.org], methods: [POST], path: '/{t}/{*rest}'}, require: {all_of: [a]}}\n";
    assert_eq!(
        told(&[post, all].concat()),
        [format!("{words}`POST h.org/x` is decided by `all`, which requires no scope")]
    );
    let other = "- {name: all, match: {path: '/{*rest}'}, require: {all_of: [b]}}\n";
    assert_eq!(told(&[admin, other].concat()), [""; 0], "another scope is not less");
}

/// What the rule `narrow` is told of methods that fall to the less specific rule `wide`.
fn fall(wide: &str, narrow: &str) -> Option<String> {
    let text = format!(
        "{ISSUERS}scopes: {{a: {{}}, b: {{}}}}\nroutes:\n- {{name: wide, {wide}}}\n- {{name: narrow, {narrow}}}\n"
    );
    let loaded = loaded(&text);
    let mut falls = found(&loaded).into_iter().filter(|(warning, _)| *warning == Warning::MethodFallsThrough);
    let (_, first) = falls.next()?;
    assert!(falls.next().is_none());
    assert_eq!(first.path, "$.routes[1].match.methods", "{wide} {narrow}");
    let message =
        first.message.strip_prefix("`narrow` does not protect every method of its path: ").expect("its words");
    Some(message.replace(" is decided by `wide`, which", ""))
}

#[test]
fn a_rule_is_told_of_methods_that_fall_to_a_more_permissive_one() {
    for (wide, narrow, expected) in [
        (
            "match: {path: '/o/{id}'}, authenticated: true",
            "match: {path: /o/x, methods: [GET]}, require: {all_of: [a]}",
            Some("`POST /o/x` requires no scope"),
        ),
        (
            "match: {path: '/{*rest}', methods: [DELETE]}, public: true",
            "match: {path: '/o/{id}', methods: [GET]}, require: {all_of: [a]}",
            Some("`DELETE /o/x` is public"),
        ),
        (
            "match: {path: '/o/x'}, require: {all_of: [a]}",
            "match: {hosts: [h.org], path: '/o/{id}', methods: [GET]}, require: {all_of: [a, b]}",
            Some("`POST h.org/o/x` requires only `a`"),
        ),
        // `HEAD` is answered by the rule for `GET`.
        (
            "match: {path: '/o/{id}', methods: [HEAD]}, authenticated: true",
            "match: {path: /o/x, methods: [POST]}, require: {all_of: [a]}",
            Some("`HEAD /o/x` requires no scope"),
        ),
        (
            "match: {path: '/o/{id}', methods: [GET]}, authenticated: true",
            "match: {path: /o/x, methods: [GET]}, require: {all_of: [a]}",
            None,
        ),
        // It requires as much, or another scope, or the strict rule has no methods.
        (
            "match: {path: '/o/{id}'}, require: {all_of: [a]}",
            "match: {path: /o/x, methods: [GET]}, require: {all_of: [a]}",
            None,
        ),
        (
            "match: {path: '/o/{id}'}, require: {all_of: [b]}",
            "match: {path: /o/x, methods: [GET]}, require: {all_of: [a]}",
            None,
        ),
        ("match: {path: '/o/{id}'}, authenticated: true", "match: {path: /o/x}, require: {all_of: [a]}", None),
    ] {
        assert_eq!(fall(wide, narrow).as_deref(), expected, "{wide} {narrow}");
    }
}

#[test]
fn a_method_that_another_rule_of_the_path_answers_does_not_fall() {
    let rule = |name: &str, methods: &str| {
        format!("- {{name: {name}, match: {{path: /o/x, methods: [{methods}]}}, require: {{all_of: [a]}}}}\n")
    };
    let rules = rule("reads", "GET") + &rule("writes", "POST, PUT, PATCH, DELETE");
    let wide = "- {name: wide, match: {path: '/o/{id}'}, authenticated: true}\n";
    let policy = format!("ignore_case: true\n{ISSUERS}scopes: {{a: {{}}}}\nroutes:\n{wide}{rules}");
    assert_eq!(warnings(&policy), [""; 0]);
}

#[test]
fn several_rules_in_front_are_one_warning() {
    let narrow: String = (0..9).map(|n| format!("- {{name: n{n}, match: {{path: /o/{n}}}, public: true}}\n")).collect();
    let text =
        format!("{ISSUERS}routes:\n- {{name: wide, match: {{path: '/o/{{id}}'}}, authenticated: true}}\n{narrow}");
    let loaded = loaded(&text);
    let [(_, found)] = found(&loaded).try_into().expect("one");
    assert!(
        found.message.ends_with("is decided by `n0`, which is public; the same holds for 8 more routes"),
        "{}",
        found.message
    );
    assert_eq!(found.related.len(), 3);
}

#[test]
fn a_large_policy_is_looked_at_in_time() {
    let routes: String = (0..3_000)
        .map(|n| format!("- {{name: r{n}, match: {{hosts: [h{n}.org], path: '/{{a}}/{{b}}/{{c}}/{{*d}}'}}, authenticated: true}}\n"))
        .collect();
    let many: String = (0..1_000)
        .map(|n| format!("- {{name: m{n}, match: {{path: '/m{n}/{{b}}/{{*c}}'}}, authenticated: true}}\n"))
        .collect();
    let loaded = loaded(&format!("{ISSUERS}routes:\n{routes}{many}"));
    assert_eq!(found(&loaded).len(), 0);
}

#[test]
fn several_issuers_without_the_header_that_tells_them_apart_are_noticed() {
    let issuer = |name: &str| {
        format!("{{issuer: {name}, audiences: [a], algorithms: [ES256], keys: {{inline: {{keys: [{{}}]}}}}}}")
    };
    let policy = |top: &str, issuers: &[&str]| {
        let issuers: Vec<_> = issuers.iter().map(|name| issuer(name)).collect();
        let routes = "[{name: a, match: {path: /}, authenticated: true}]";
        warnings(&format!("{top}issuers: [{}]\nsession: {{cluster: s}}\nroutes: {routes}\n", issuers.join(", ")))
    };
    assert_eq!(policy("", &["a", "b"]), ["issuer_not_sent $.issuers issuers"]);
    let subject = "identity_headers: [subject]\n";
    assert_eq!(policy(subject, &["a", "b"]), ["issuer_not_sent $.identity_headers identity_headers"]);
    assert_eq!(policy("", &["a"]), [""; 0]);
    assert_eq!(policy("identity_headers: [scopes]\n", &["a", "b"]), [""; 0]);
    assert_eq!(policy("identity_headers: [subject, issuer]\n", &["a", "b"]), [""; 0]);
}

/// The message of a warning about some routes, which are the whole of a policy besides its issuers and scopes.
fn told(warning: Warning, top: &str, routes: &[&str]) -> Option<String> {
    let routes: String = routes.iter().map(|route| format!("- {{{route}}}\n")).collect();
    let loaded = loaded(&format!("{top}{ISSUERS}scopes: {{a: {{}}, b: {{}}}}\nroutes:\n{routes}"));
    let mut found = found(&loaded).into_iter().filter(|(kind, _)| *kind == warning);
    let message = found.next().map(|(_, found)| found.message);
    assert!(found.next().is_none());
    message
}

#[test]
fn a_literal_rule_beside_a_weaker_variable_is_told_that_case_matters() {
    let strict = "name: special, match: {path: /files/special}, require: {all_of: [a]}";
    let weak = "name: file, match: {path: '/files/{name}'}, authenticated: true";
    let with = |top: &str, routes: &[&str]| told(Warning::CaseMatters, top, routes);
    let expected = "`special` protects its path in this case only: `GET /files/SPECIAL` is decided by `file`, which requires no scope";
    assert_eq!(with("", &[strict, weak]).as_deref(), Some(expected));
    assert_eq!(with("ignore_case: true\n", &[strict, weak]), None);
    for weak in [
        "name: file, match: {path: '/files/{name}'}, require: {all_of: [a]}",
        "name: file, match: {path: '/files/{name}'}, require: {all_of: [b]}",
        "name: file, match: {path: '/files/{name}', methods: [PURGE]}, authenticated: true",
    ] {
        let strict = "name: special, match: {path: /files/special, methods: [GET]}, require: {all_of: [a]}";
        assert_eq!(with("", &[strict, weak]), None, "{weak}");
    }
    let verb = "name: suspend, match: {path: '/files/{name}:suspend'}, require: {all_of: [a]}";
    assert!(with("", &[verb, weak]).unwrap().contains("`GET /files/X:SUSPEND` is decided by `file`"));
    let everything = "name: rest, match: {path: '/{*rest}'}, public: true";
    let two = with("", &[strict, verb, everything]).unwrap();
    assert!(two.ends_with("decided by `rest`, which is public; the same holds for 1 more route"), "{two}");
}

#[test]
fn an_encoded_slash_beside_a_stricter_rule_is_noticed() {
    let lax = "name: npm, match: {path: '/npm/{package}', encoded_slash: segment}, require: {all_of: [a]}";
    let with = |strict: &str| told(Warning::EncodedSlashDecoded, "", &[lax, strict]);
    for (strict, request) in [
        ("name: admin, match: {path: '/npm/{package}/admin'}, require: {all_of: [a, b]}", "GET /npm/x/admin"),
        ("name: admin, match: {path: /npm/-/all}, require: {all_of: [b]}", "GET /npm/-/all"),
        ("name: admin, match: {path: '/npm/{*rest}'}, require: {all_of: [a, b]}", "GET /npm/x/x"),
        ("name: admin, match: {path: '/npm/{package}/a/b'}, require: {all_of: [a, b]}", "GET /npm/x/a/b"),
    ] {
        let found = with(strict).unwrap_or_else(|| panic!("{strict}"));
        let expected = format!("takes a request of `npm` for `{request}`, which `admin` protects: `npm` requires");
        assert!(found.contains(&expected), "{found}");
    }
    for strict in [
        "name: admin, match: {path: '/npm/{package}/{version}'}, authenticated: true",
        "name: admin, match: {path: /other/x}, require: {all_of: [a, b]}",
        "name: admin, match: {path: /npm}, require: {all_of: [a, b]}",
    ] {
        assert_eq!(with(strict), None, "{strict}");
    }
}

#[test]
fn an_optional_token_is_noticed() {
    let found = told(Warning::TokenOptional, "", &["name: list, match: {path: /list}, authenticated: optional"]);
    assert_eq!(found.as_deref(), Some("everyone can use `list` without a token"));
}

#[test]
fn a_suffixed_rule_overlaps_with_the_variable_behind_it() {
    let narrow = "match: {path: '/o/{id}:suspend', methods: [POST]}, public: true";
    let wide = "match: {path: '/o/{id}'}, require: {all_of: [a]}";
    assert_eq!(shadow(wide, narrow).as_deref(), Some("`POST /o/x:suspend` is public"));
    let literal = "match: {path: '/o/7:suspend'}, public: true";
    assert_eq!(
        shadow("match: {path: '/o/{id}:suspend'}, authenticated: true", literal).as_deref(),
        Some("`GET /o/7:suspend` is public")
    );
    let longer = "match: {path: '/o/{id}:all:suspend'}, public: true";
    assert_eq!(
        shadow("match: {path: '/o/{id}:suspend'}, authenticated: true", longer).as_deref(),
        Some("`GET /o/x:all:suspend` is public")
    );
    assert_eq!(
        shadow(
            "match: {path: '/o/{id}:suspend'}, authenticated: true",
            "match: {path: '/o/{id}:resume'}, public: true"
        ),
        None
    );
    let strict = "match: {path: '/o/{id}:suspend', methods: [POST]}, require: {all_of: [a]}";
    assert_eq!(fall("match: {path: '/o/{id}'}, public: true", strict).as_deref(), Some("`GET /o/x:suspend` is public"));
}

#[test]
fn an_upstream_that_gets_the_client_s_token_beside_its_own_is_noticed() {
    let policy = |top: &str, of_route: &str| {
        let route = format!("{{name: a, match: {{path: /}}, authenticated: true{of_route}}}");
        warnings(&format!("{ISSUERS}{top}routes: [{route}]\n"))
    };
    let (forward, own) = ("forward_token: true\n", ", upstream_token: {audience: orders}");
    assert_eq!(policy(forward, own), ["client_token_forwarded $.forward_token true"]);
    assert_eq!(policy("", own), [""; 0]);
    assert_eq!(policy("forward_token: false\n", own), [""; 0]);
    assert_eq!(policy(forward, ""), [""; 0]);
}

#[test]
fn a_lease_on_a_route_that_needs_an_approval_has_a_warning() {
    let of = |session: &str, route: &str| {
        warnings(&format!(
            "{}scopes: {{a: {{approval: required}}}}\nroutes:\n\
             - {{name: one, match: {{path: /1}}, require: {{all_of: [a]}}, session: {{{route}}}}}\n",
            ISSUERS.replace("cluster: s", &format!("cluster: s{session}"))
        ))
    };
    assert_eq!(of("", ""), [""; 0]);
    assert_eq!(of(", freshness: {lease: 1s}", ""), ["lease_of_approval $.routes[0].require require"]);
    assert_eq!(of("", "freshness: {lease: 1s}"), ["lease_of_approval $.routes[0].session.freshness freshness"]);
    assert_eq!(of(", freshness: {lease: 1s}", "freshness: each_request"), [""; 0]);
}
