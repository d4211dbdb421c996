//! Decisions: each member of the schema, answers and their order, and what happens when a condition cannot be evaluated.

use crate::setting::{NOW_MS, answer, decide, refused_by, request, route, session, set, when};
use portcullis_conditions::{Answer, Decision, Device, Place, Request, Session, Set};

fn applies(condition: &str) -> bool {
    refused_by(&when(condition), &session(), &request()).is_some()
}

#[test]
fn every_member_of_the_schema_can_be_asked() {
    for condition in [
        "context.now == datetime(\"2023-11-14T22:13:20Z\")",
        "context.host == \"api.example.com\"",
        "context.place has ip && context.place.ip.isInRange(ip(\"192.0.2.0/24\"))",
        "context.place has country && context.place.country == \"CH\"",
        "context.place has asn && context.place.asn == 64500",
        "context.place has proxy && !context.place.proxy",
        "context has device && context.device.id == \"d1\"",
        "context has device.compliant && context.device.compliant",
        "context has acr && context.acr == \"aal2\"",
        "context.amr.containsAll([\"otp\", \"pwd\"])",
        "context.login_age == duration(\"10m\")",
        "context.session_age > duration(\"59m\")",
        "context.risk == \"unknown\"",
        "!context.new_place",
        "context.session has \"x-device-id\" && context.session[\"x-device-id\"] == \"from-header\"",
        "principal.access == \"human\"",
        "principal.scopes.contains(\"orders:write\")",
        "principal in Portcullis::User::\"https://id.example.com#alice\"",
        "principal in Portcullis::Client::\"https://id.example.com#app\"",
        "principal in Portcullis::Group::\"https://id.example.com#admins\"",
        "principal.user.subject == \"alice\" && principal.user.issuer == \"https://id.example.com\"",
        "principal.client.id == \"app\"",
        "principal.opened_at < principal.login_at",
        "context.now.durationSince(principal.login_at) == duration(\"10m\")",
        "resource == Portcullis::Route::\"orders.change\"",
        "resource in Portcullis::RouteSet::\"support\"",
        "resource.class == \"write\" && resource.tags.contains(\"pii\")",
        "resource.scopes.contains(\"orders:write\")",
        "action in Portcullis::Action::\"write\" && action == Portcullis::Action::\"PUT\"",
    ] {
        assert!(applies(condition), "{condition}");
        assert!(!applies(&format!("!({condition})")), "not {condition}");
    }
}

#[test]
fn what_nobody_knows_is_absent() {
    let session = Session { id: "s".to_owned(), ..Session::default() };
    let request = Request { now_ms: NOW_MS, method: "GET".to_owned(), ..Request::default() };
    for condition in [
        "context.place has ip",
        "context.place has country",
        "context.place has asn",
        "context.place has proxy",
        "context has device",
        "context has device.compliant",
        "context has acr",
        "context.session has score",
        "context.subject has score",
        "principal has granted_until",
        "context.risk != \"unknown\"",
    ] {
        assert_eq!(refused_by(&when(condition), &session, &request), None, "{condition}");
        assert!(refused_by(&when(&format!("!({condition})")), &session, &request).is_some(), "{condition}");
    }
}

#[test]
fn conditions_of_a_session_are_decided_without_the_question() {
    for (condition, expected) in [
        ("context.risk == \"high\"", true),
        ("context.risk == \"low\"", false),
        ("principal.access == \"machine\" && context.place has country", false),
        ("context.place has country && principal.access == \"machine\"", false),
        ("context.place has proxy || principal.access == \"human\"", true),
        ("context has device && context.device.id == \"d1\"", true),
        ("context.subject has score && context.subject.score > 90", true),
        ("context.session has score && context.session.score > 90", true),
        ("context.session has staff && context.risk == \"low\"", false),
        ("if context.risk == \"high\" then true else context.place has ip", true),
    ] {
        let mut session = Session { risk: Some("high".to_owned()), ..session() };
        session.attributes.insert("score".to_owned(), "91".to_owned());
        session.subject_attributes.insert("score".to_owned(), "91".to_owned());
        let (decision, needed_question) = decide(&when(condition), &session, &request());
        assert_eq!(decision != Decision::Allowed, expected, "{condition}");
        assert!(!needed_question, "{condition}");
    }
}

#[test]
fn an_attribute_of_the_session_wins_over_what_the_request_says() {
    let condition = when("context.session has \"x-device-id\" && context.session[\"x-device-id\"] == \"stored\"");
    assert_eq!(refused_by(&condition, &session(), &request()), None);
    let mut known = session();
    known.attributes.insert("x-device-id".to_owned(), "stored".to_owned());
    assert!(refused_by(&condition, &known, &request()).is_some());
}

#[test]
fn a_request_cannot_replace_an_attribute_of_the_session_that_lacks_its_type() {
    let (mut session, mut request) = (session(), request());
    session.attributes.insert("score".to_owned(), "many".to_owned());
    request.attributes.insert("score".to_owned(), "7".to_owned());
    assert_eq!(refused_by(&when("context.session has score"), &session, &request), None);
}

#[test]
fn an_attribute_without_its_type_is_not_shown() {
    let mut session = session();
    session.attributes.insert("score".to_owned(), "many".to_owned());
    session.attributes.insert("undeclared".to_owned(), "x".to_owned());
    assert_eq!(refused_by(&when("context.session has score"), &session, &request()), None);
}

#[test]
fn the_same_name_from_another_issuer_is_another_party() {
    let condition = when("principal in Portcullis::Group::\"https://id.example.com#admins\"");
    let other = Session { issuer: "https://other.example.com".to_owned(), ..session() };
    assert_eq!(refused_by(&condition, &other, &request()), None);
}

#[test]
fn a_failed_condition_answers_before_an_approval_and_that_before_a_login() {
    let login = "@id(\"login\") @advice(\"step_up:acr=aal3,max_age=300\") forbid (principal, action, resource);";
    let approval = "@id(\"approval\") @requestable(\"prod-admin\") forbid (principal, action, resource);";
    let failed = "@id(\"failed\") @reason(\"no\") @tell forbid (principal, action, resource);";
    let step_up = Answer::StepUpRequired { acr: vec!["aal3".to_owned()], max_age_ms: Some(300_000) };
    let scope = "prod-admin".to_owned();
    assert_eq!(answer(login), Some(step_up));
    assert_eq!(answer(&format!("{login}{approval}")), Some(Answer::ApprovalRequired { scope }));
    assert_eq!(answer(&format!("{login}{approval}{failed}")), Some(Answer::ConditionFailed));
    let (decision, _) = decide(&format!("{login}{approval}{failed}"), &session(), &request());
    let Decision::Refused(refusal) = decision else { panic!("allowed") };
    assert_eq!((refusal.id.as_str(), refusal.reason.as_str(), refusal.tell), ("failed", "no", true));
    assert_eq!(refusal.policies, ["failed", "login", "approval"]);
}

#[test]
fn a_question_can_put_a_better_answer_before_a_certain_one() {
    let login = "@id(\"login\") @advice(\"step_up:max_age=1\") forbid (principal, action, resource);";
    let place = "@id(\"place\") forbid (principal, action, resource) unless \
                 { context.place has country && context.place.country == \"DE\" };";
    assert_eq!(refused_by(&format!("{login}{place}"), &session(), &request()).as_deref(), Some("place"));
    let country = Some("DE".to_owned());
    let there = Request { place: Some(Place { country, ..Place::default() }), ..request() };
    assert_eq!(refused_by(&format!("{login}{place}"), &session(), &there).as_deref(), Some("login"));
}

#[test]
fn a_condition_that_cannot_be_evaluated_refuses() {
    let overflow = "context.session has score && context.session.score + 9223372036854775807 > 0";
    let mut stored = session();
    stored.attributes.insert("score".to_owned(), "1".to_owned());
    let mut asked = request();
    asked.attributes.insert("score".to_owned(), "1".to_owned());
    for (session, request) in [(&stored, &request()), (&session(), &asked)] {
        let text = when(overflow).replace("@id", "@tell @reason(\"x\") @advice(\"step_up:max_age=1\") @id");
        let Decision::Refused(refusal) = decide(&text, session, request).0 else { panic!("allowed") };
        assert_eq!((refusal.id.as_str(), refusal.answer, refusal.tell), ("a", Answer::ConditionFailed, false));
        assert_eq!(refusal.reason, "the condition could not be evaluated");
    }
    assert_eq!(refused_by(&when(overflow), &session(), &request()), None, "without the attribute, it is not evaluated");
}

#[test]
fn methods_outside_of_the_eight_are_refused_where_conditions_exist() {
    let connect = Request { method: "CONNECT".to_owned(), ..request() };
    assert_eq!(refused_by(&when("false"), &session(), &connect).as_deref(), Some("method"));
    let nothing = Set::load(&[], &Default::default()).expect("a set").for_route(&route()).expect("a route");
    assert_eq!(nothing.prepare(&session(), "CONNECT").decide(&session(), &connect), Decision::Allowed);
}

#[test]
fn a_condition_about_time_says_so() {
    let sliced = |text: &str| set(text).for_route(&route()).expect("a route").prepare(&session(), "PUT");
    for text in [
        "context.login_age > duration(\"1h\")",
        "context.session_age > duration(\"1d\")",
        "context.now < principal.login_at",
    ] {
        assert!(sliced(&when(text)).depends_on_time(), "{text}");
    }
    for text in [
        "context.place has ip",
        "context.risk == \"high\"",
        "principal.access == \"x\" && context.login_age > duration(\"1h\")",
    ] {
        assert!(!sliced(&when(text)).depends_on_time(), "{text}");
    }
}

#[test]
fn extreme_times_have_values() {
    for (login_at_ms, now_ms) in [(0, u64::MAX), (u64::MAX, 0), (u64::MAX, u64::MAX)] {
        let session = Session { login_at_ms, opened_at_ms: login_at_ms, granted_until_ms: Some(u64::MAX), ..session() };
        let request = Request { now_ms, ..request() };
        let text = when("context.login_age < duration(\"0ms\") || context.now > datetime(\"2000-01-01\")");
        let (Decision::Allowed | Decision::Refused(_)) = decide(&text, &session, &request).0;
    }
}

#[test]
fn a_device_without_statements_is_not_compliant() {
    let condition = "@id(\"a\") forbid (principal, action in Portcullis::Action::\"write\", resource) \
                     unless { context has device.compliant && context.device.compliant };";
    assert_eq!(refused_by(condition, &session(), &request()), None);
    for device in [None, Some(Device { id: "d".to_owned(), ..Device::default() })] {
        assert!(refused_by(condition, &Session { device, ..session() }, &request()).is_some());
    }
}
