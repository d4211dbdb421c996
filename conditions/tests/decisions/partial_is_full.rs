//! Partial evaluation equals full evaluation: random policies and requests, decided here and by Cedar's own authorizer, which
//! gets policies, entities and context as JSON and knows nothing of slices, sessions and residuals.

use crate::setting::{NOW_MS, declared, route, session, set};
use cedar_policy::{Authorizer, Context, Decision as CedarDecision, Entities, EntityUid, PolicySet, Schema};
use portcullis_conditions::{BASELINE, Decision, Device, Place, Request, Route, Session, schema};
use proptest::prelude::*;
use std::{collections::BTreeMap, str::FromStr, sync::LazyLock};

/// Conditions that validate, over every member and operator.
fn expr() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "true",
        "false",
        "context.host == \"a\"",
        "context.host like \"*.a\"",
        "context.risk == \"high\"",
        "[\"low\", \"medium\"].contains(context.risk)",
        "context.new_place",
        "(context has acr && context.acr == \"aal2\")",
        "(context has acr)",
        "context.amr.contains(\"otp\")",
        "context.amr.containsAny([\"otp\", context.host])",
        "context.amr == [\"otp\"]",
        "(context.place has country && context.place.country == \"CH\")",
        "(context.place has country && [\"CH\", \"DE\", context.host].contains(context.place.country))",
        "(context.place has asn && context.place.asn * 9223372036854775807 > 3)",
        "(context.place has ip && context.place.ip.isInRange(ip(\"10.0.0.0/8\")))",
        "(context.place has proxy && context.place.proxy)",
        "(context has device && context.device.id == \"d1\")",
        "(context has device.compliant && context.device.compliant)",
        "(context has device && context.device has os && context.device.os like \"i*\")",
        "(context.session has score && context.session.score > 5)",
        "(context.session has score && context.session.score + 9223372036854775806 > 5)",
        "(context.subject has score && context.subject.score > 5)",
        "(context.subject has score && context.session has score && context.subject.score == context.session.score)",
        "(context.session has staff && context.session.staff)",
        "(context has session.staff && context.session.staff)",
        "(context has subject.staff && context.subject.staff)",
        "context.session == context.subject",
        "(if context.new_place then {id: context.host} else {id: context.risk}) == {id: \"a\"}",
        "{a: context.host, b: context.risk} == {a: \"a\", b: \"high\"}",
        "[{p: context.place}].contains({p: if context.new_place then context.place else context.place})",
        "context.place == (if context.new_place then context.place else context.place)",
        "(if context.new_place then context.place else context.place) has ip",
        "context.login_age > duration(\"5m\")",
        "context.session_age < context.login_age",
        "context.now > datetime(\"2023-11-14\")",
        "context.now.durationSince(principal.login_at) > duration(\"5m\")",
        "(principal has granted_until && principal.granted_until > context.now)",
        "principal.access == \"human\"",
        "principal.scopes.contains(\"orders:write\")",
        "principal.scopes.containsAll(resource.scopes)",
        "principal in Portcullis::User::\"https://id.example.com#alice\"",
        "principal in Portcullis::Group::\"https://id.example.com#admins\"",
        "principal in [Portcullis::Client::\"x#y\", Portcullis::Client::\"https://id.example.com#app\"]",
        "principal.user == Portcullis::User::\"https://id.example.com#alice\"",
        "principal.client.id == context.host",
        "Portcullis::User::\"nobody\".subject == \"x\"",
        "(if context.new_place then principal.user else Portcullis::User::\"nobody\").subject == \"alice\"",
        "resource.class == \"admin\"",
        "resource.tags.contains(\"pii\")",
        "resource.tags.contains(context.host)",
        "resource in Portcullis::RouteSet::\"support\"",
        "action == Portcullis::Action::\"PUT\"",
        "action in [Portcullis::Action::\"read\", Portcullis::Action::\"DELETE\"]",
        "resource is Portcullis::Route",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(({a}) == ({b}))")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
        ]
    })
}

/// A policy without its id.
fn policy() -> impl Strategy<Value = String> {
    let annotation = prop::sample::select(vec!["", "@requestable(\"x\")", "@advice(\"step_up:max_age=5\")", "@tell"]);
    let principal = prop::sample::select(vec![
        "principal",
        "principal is Portcullis::Session",
        "principal in Portcullis::Group::\"https://id.example.com#admins\"",
        "principal == Portcullis::Session::\"s1\"",
    ]);
    let action = prop::sample::select(vec![
        "action",
        "action in Portcullis::Action::\"write\"",
        "action == Portcullis::Action::\"GET\"",
        "action in [Portcullis::Action::\"PUT\", Portcullis::Action::\"read\"]",
    ]);
    let resource = prop::sample::select(vec![
        "resource",
        "resource == Portcullis::Route::\"orders.change\"",
        "resource in Portcullis::RouteSet::\"support\"",
        "resource is Portcullis::Route in Portcullis::RouteSet::\"other\"",
        "resource == Portcullis::Route::\"other\"",
    ]);
    let clause = prop::sample::select(vec!["when", "unless"]);
    (annotation, principal, action, resource, clause, expr()).prop_map(
        |(annotation, principal, action, resource, clause, expr)| {
            format!("{annotation} forbid ({principal}, {action}, {resource}) {clause} {{ {expr} }};")
        },
    )
}

fn some<T: Clone + std::fmt::Debug + 'static>(values: &[T]) -> impl Strategy<Value = Option<T>> {
    prop::option::of(prop::sample::select(values.to_vec()))
}

fn text(values: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(values).prop_map(str::to_owned)
}

fn texts(values: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    prop::sample::subsequence(values, 0..=values.len()).prop_map(|texts| texts.into_iter().map(str::to_owned).collect())
}

fn attributes() -> impl Strategy<Value = BTreeMap<String, String>> {
    let (score, staff) = (some(&["7", "3", "many", "9223372036854775807"]), some(&["true", "false", "x"]));
    (score, staff).prop_map(|(score, staff)| {
        let all = [("score", score), ("staff", staff)];
        all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect()
    })
}

fn any_route() -> impl Strategy<Value = Route> {
    let (name, class) = (text(&["orders.change", "other"]), text(&["", "admin", "write"]));
    (name, class, texts(&["pii", "a"]), texts(&["orders:write"]), texts(&["support", "other"]))
        .prop_map(|(name, class, tags, scopes, sets)| Route { name, class, tags, scopes, sets })
}

fn any_session() -> impl Strategy<Value = Session> {
    let device = (any::<Option<bool>>(), some(&["ios", "linux"])).prop_map(|(compliant, os)| {
        let (id, os) = ("d1".to_owned(), os.map(str::to_owned));
        Device { id, compliant, os, ..Device::default() }
    });
    let facts = (some(&["aal2", "aal3"]), texts(&["otp", "pwd"]), some(&["low", "high"]), any::<bool>());
    let times = (prop::sample::select(vec![0, NOW_MS - 400_000, NOW_MS]), prop::option::of(Just(NOW_MS + 5)));
    let who = (text(&["human", "machine"]), texts(&["admins", "staff"]), texts(&["orders:write", "x"]));
    (facts, times, who, prop::option::of(device), attributes(), attributes()).prop_map(
        |((acr, amr, risk, new_place), (at, granted_until_ms), who, device, attributes, subject_attributes)| {
            let (access, groups, scopes) = who;
            let (acr, risk) = (acr.map(str::to_owned), risk.map(str::to_owned));
            let times = Session { login_at_ms: at, opened_at_ms: NOW_MS - 500_000, granted_until_ms, ..session() };
            let facts = Session { acr, amr, risk, new_place, device, ..times };
            Session { access, groups, scopes, attributes, subject_attributes, ..facts }
        },
    )
}

fn any_request() -> impl Strategy<Value = Request> {
    let place = (some(&["CH", "US"]), some(&[0_u32, 2]), any::<Option<bool>>()).prop_map(|(country, asn, proxy)| {
        let country = country.map(str::to_owned);
        Place { country, asn, proxy }
    });
    let ip = some(&["10.1.2.3", "192.0.2.1", "2001:db8::1"]).prop_map(|ip| ip.map(|ip| ip.parse().expect("an ip")));
    let now = prop::sample::select(vec![0, NOW_MS, u64::MAX]);
    (now, text(&["GET", "PUT", "DELETE"]), text(&["a", "b.a"]), ip, prop::option::of(place), attributes()).prop_map(
        |(now_ms, method, host, ip, place, attributes)| Request { now_ms, method, host, ip, place, attributes },
    )
}

/// Parsed once: that takes longer than a case.
static SCHEMA: LazyLock<Schema> =
    LazyLock::new(|| Schema::from_cedarschema_str(&schema(&declared())).expect("a schema").0);

/// What Cedar's own authorizer says: the policies that forbid, and those that fail.
fn full(policies: &[String], route: &Route, session: &Session, request: &Request) -> (Vec<usize>, Vec<usize>) {
    let schema: &Schema = &SCHEMA;
    let set = PolicySet::from_str(&format!("{BASELINE}\n{}", policies.join("\n"))).expect("policies");
    let entities = Entities::from_json_str(&json::entities(route, session), Some(schema)).expect("entities");
    let uid = |text: &str| EntityUid::from_str(text).expect("an id");
    let action = uid(&format!("Portcullis::Action::\"{}\"", request.method));
    let context = json::context(session, request);
    let context = Context::from_json_str(&context, Some((schema, &action))).expect("a context");
    let resource = uid(&format!("Portcullis::Route::\"{}\"", route.name));
    let asked = cedar_policy::Request::new(uid("Portcullis::Session::\"s1\""), action, resource, context, Some(schema));
    let response = Authorizer::new().is_authorized(&asked.expect("a request"), &set, &entities);
    // The first policy is the baseline.
    let number = |id: &cedar_policy::PolicyId| {
        let id: &str = id.as_ref();
        id.trim_start_matches("policy").parse::<usize>().expect("a number").wrapping_sub(1)
    };
    let forbids = match response.decision() {
        CedarDecision::Allow => Vec::new(),
        CedarDecision::Deny => response.diagnostics().reason().map(number).collect(),
    };
    let failed = response.diagnostics().errors().map(|error| match error {
        cedar_policy::AuthorizationError::PolicyEvaluationError(error) => number(error.policy_id()),
    });
    (forbids, failed.collect())
}

/// The index of the condition that has to answer.
fn answering(policies: &[String], forbids: &[usize], failed: &[usize]) -> Option<usize> {
    let kind = |index: &usize| match &policies[*index] {
        policy if policy.contains("@requestable") => 1,
        policy if policy.contains("@advice") => 2,
        _ => 0,
    };
    let forbids = forbids.iter().map(|index| (kind(index), *index));
    forbids.chain(failed.iter().map(|index| (0, *index))).min().map(|(_, index)| index)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn partial_evaluation_equals_full_evaluation(
        policies in prop::collection::vec(policy(), 1..5),
        route in prop_oneof![Just(route()), any_route()],
        session in any_session(),
        requests in prop::collection::vec(any_request(), 1..4),
    ) {
        let named: Vec<_> = policies.iter().enumerate().map(|(n, policy)| format!("@id(\"p{n}\") {policy}")).collect();
        let set = set(&named.join("\n"));
        let sliced = set.for_route(&route).expect("a route");
        for request in requests {
            let prepared = sliced.prepare(&session, &request.method);
            let (forbids, failed) = full(&named, &route, &session, &request);
            let expected = answering(&named, &forbids, &failed).map(|index| format!("p{index}"));
            let got = match prepared.decide(&session, &request) {
                Decision::Allowed => None,
                Decision::Refused(refusal) => {
                    prop_assert_eq!(refusal.reason.contains("evaluated"), failed.iter().any(|index| format!("p{index}") == refusal.id));
                    Some(refusal.id)
                }
            };
            prop_assert_eq!(got, expected, "{:#?} {:?}", named, request);
        }
    }
}

/// Entities and context as JSON, written a second time and in another way than the crate does it.
mod json {
    use super::*;
    use std::fmt::Write;

    const LAST_MS: u64 = 253_402_300_799_999;

    fn list(texts: &[String]) -> String {
        format!("{texts:?}")
    }

    fn duration(from: u64, to: u64) -> String {
        let (from, to) = (from.min(LAST_MS), to.min(LAST_MS));
        let ms = i128::from(to) - i128::from(from);
        format!("{{\"__extn\": {{\"fn\": \"duration\", \"arg\": \"{ms}ms\"}}}}")
    }

    fn datetime(ms: u64) -> String {
        let ms = ms.min(LAST_MS);
        format!(
            "{{\"__extn\": {{\"fn\": \"offset\", \"args\": [\
             {{\"__extn\": {{\"fn\": \"datetime\", \"arg\": \"1970-01-01\"}}}}, \
             {{\"__extn\": {{\"fn\": \"duration\", \"arg\": \"{ms}ms\"}}}}]}}}}"
        )
    }

    pub(super) fn entities(route: &Route, session: &Session) -> String {
        let uid = |kind: &str, id: &str| format!("{{\"type\": \"Portcullis::{kind}\", \"id\": {id:?}}}");
        let named = |name: &str| format!("{}#{name}", session.issuer);
        let (user, client) = (uid("User", &named(&session.subject)), uid("Client", &named(&session.client)));
        let sets: Vec<_> = route.sets.iter().map(|set| uid("RouteSet", set)).collect();
        let groups: Vec<_> = session.groups.iter().map(|group| (group, uid("Group", &named(group)))).collect();
        let mut all = format!(
            "[{{\"uid\": {}, \"attrs\": {{\"class\": {:?}, \"scopes\": {}, \"tags\": {}}}, \"parents\": [{}]}}",
            uid("Route", &route.name),
            route.class,
            list(&route.scopes),
            list(&route.tags),
            sets.join(", "),
        );
        for (member, name, uid) in [("subject", &session.subject, &user), ("id", &session.client, &client)]
            .into_iter()
            .chain(groups.iter().map(|(name, uid)| ("name", *name, uid)))
        {
            let attrs = format!("{{\"issuer\": {:?}, \"{member}\": {name:?}}}", session.issuer);
            write!(all, ", {{\"uid\": {uid}, \"attrs\": {attrs}, \"parents\": []}}").expect("text");
        }
        let mut parents = vec![user.clone(), client.clone()];
        parents.extend(groups.into_iter().map(|(_, uid)| uid));
        let granted = session.granted_until_ms.map(|ms| format!(", \"granted_until\": {}", datetime(ms)));
        write!(
            all,
            ", {{\"uid\": {}, \"attrs\": {{\"user\": {{\"__entity\": {user}}}, \"client\": {{\"__entity\": {client}}}, \
             \"access\": {:?}, \"scopes\": {}, \"opened_at\": {}, \"login_at\": {}{}}}, \"parents\": [{}]}}]",
            uid("Session", &session.id),
            session.access,
            list(&session.scopes),
            datetime(session.opened_at_ms),
            datetime(session.login_at_ms),
            granted.unwrap_or_default(),
            parents.join(", "),
        )
        .expect("text");
        all
    }

    fn attributes(all: &BTreeMap<String, String>) -> String {
        let shown = all.iter().filter(|(name, value)| match name.as_str() {
            "score" => value.parse::<i64>().is_ok(),
            _ => value.parse::<bool>().is_ok(),
        });
        let members: Vec<_> = shown.map(|(name, value)| format!("{name:?}: {value}")).collect();
        format!("{{{}}}", members.join(", "))
    }

    fn members(members: [(&str, Option<String>); 4]) -> String {
        let members: Vec<_> =
            members.into_iter().filter_map(|(name, value)| Some(format!("\"{name}\": {}", value?))).collect();
        format!("{{{}}}", members.join(", "))
    }

    pub(super) fn context(session: &Session, request: &Request) -> String {
        let place = request.place.clone().unwrap_or_default();
        let place = members([
            ("ip", request.ip.map(|ip| format!("{{\"__extn\": {{\"fn\": \"ip\", \"arg\": \"{ip}\"}}}}"))),
            ("country", place.country.map(|country| format!("{country:?}"))),
            ("asn", place.asn.map(|asn| asn.to_string())),
            ("proxy", place.proxy.map(|proxy| proxy.to_string())),
        ]);
        let device = session.device.as_ref().map(|device| {
            members([
                ("id", Some(format!("{:?}", device.id))),
                ("compliant", device.compliant.map(|compliant| compliant.to_string())),
                ("os", device.os.as_ref().map(|os| format!("{os:?}"))),
                ("managed", None),
            ])
        });
        let mut own = request.attributes.clone();
        own.extend(session.attributes.clone());
        let optional = [("device", device), ("acr", session.acr.as_ref().map(|acr| format!("{acr:?}")))];
        let optional: Vec<_> =
            optional.into_iter().filter_map(|(name, value)| Some(format!("\"{name}\": {}, ", value?))).collect();
        format!(
            "{{{}\"now\": {}, \"host\": {:?}, \"place\": {place}, \"amr\": {}, \"login_age\": {}, \"session_age\": {}, \
             \"risk\": {:?}, \"new_place\": {}, \"session\": {}, \"subject\": {}}}",
            optional.concat(),
            datetime(request.now_ms),
            request.host,
            list(&session.amr),
            duration(session.login_at_ms, request.now_ms),
            duration(session.opened_at_ms, request.now_ms),
            session.risk.as_deref().unwrap_or("unknown"),
            session.new_place,
            attributes(&own),
            attributes(&session.subject_attributes),
        )
    }
}
