//! Security event tokens as the standards and real transmitters write them, with what each does.

use super::*;

/// Who is still active afterwards, of alice's session `s`, alice's session `s2` and bob's.
type Left = [bool; 3];

const ALL: Left = [true, true, true];
const NOT_S: Left = [false, true, true];
const NOT_ALICE: Left = [false, false, true];
const ONLY_S: Left = [true, false, true];

struct Shape {
    name: &'static str,
    /// Further keys of the transmitter.
    keys: &'static str,
    header: Value,
    claims: Value,
    left: Left,
    outcome: Outcome,
}

fn shape(name: &'static str, claims: Value, left: Left, outcome: Outcome) -> Shape {
    Shape { name, keys: "", header: json!({}), claims, left, outcome }
}

fn iss_sub(iss: &str) -> Value {
    json!({"format": "iss_sub", "iss": iss, "sub": "alice"})
}

fn opaque(id: &str) -> Value {
    json!({"format": "opaque", "id": id})
}

fn standards() -> Vec<Shape> {
    let event = |name: &str, payload: Value| json!({format!("{CAEP}{name}"): payload});
    let account = |name: &str, payload: Value| json!({format!("{RISC}{name}"): payload});
    vec![
        shape(
            "CAEP 1.0, session revoked, opaque",
            json!({"txn": "8675309", "sub_id": opaque("s"),
                   "events": event("session-revoked", json!({"event_timestamp": 1_615_304_991}))}),
            NOT_S,
            Outcome::Revoked,
        ),
        shape(
            "CAEP 1.0, session revoked, complex",
            json!({"txn": "8675309",
                   "sub_id": {"format": "complex", "session": opaque("s"), "user": iss_sub("https://id"),
                              "tenant": opaque("123456789")},
                   "events": event("session-revoked", json!({"initiating_entity": "policy",
                       "reason_admin": {"en": "Landspeed Policy Violation: C076E82F"},
                       "reason_user": {"en": "Access attempt from multiple regions."},
                       "event_timestamp": 1_615_304_991}))}),
            NOT_S,
            Outcome::Revoked,
        ),
        shape(
            "CAEP 1.0, session revoked, every session of a user on a device",
            json!({"sub_id": {"format": "complex", "user": iss_sub("https://id"),
                              "device": {"format": "iss_sub", "iss": "https://idp", "sub": "e9297990-14d2"},
                              "tenant": opaque("123456789")},
                   "events": event("session-revoked", json!({"initiating_entity": "user"}))}),
            NOT_ALICE,
            Outcome::Revoked,
        ),
        shape(
            "CAEP 1.0, credential change",
            json!({"sub_id": iss_sub("https://id"),
                   "events": event("credential-change", json!({"credential_type": "fido2-roaming", "change_type": "create",
                       "fido2_aaguid": "accced6a-63f5-490a-9eea-e59bc1896cfc", "friendly_name": "Jane's USB authenticator"}))}),
            NOT_ALICE,
            Outcome::Revoked,
        ),
        shape(
            "CAEP 1.0, credential change in a session",
            json!({"sub_id": {"format": "complex", "user": iss_sub("https://id"), "session": opaque("s")},
                   "events": event("credential-change", json!({"credential_type": "password", "change_type": "update"}))}),
            ONLY_S,
            Outcome::Revoked,
        ),
        shape(
            "RISC 1.0, account disabled",
            json!({"sub_id": iss_sub("https://id"), "events": account("account-disabled", json!({"reason": "hijacking"}))}),
            NOT_ALICE,
            Outcome::Blocked,
        ),
        shape(
            "RISC 1.0, account purged, opaque",
            json!({"sub_id": opaque("alice"), "events": account("account-purged", json!({}))}),
            NOT_ALICE,
            Outcome::Blocked,
        ),
        shape(
            "RISC 1.0, credential compromised",
            json!({"sub_id": iss_sub("https://id"),
                   "events": account("credential-compromise", json!({"credential_type": "password"}))}),
            NOT_ALICE,
            Outcome::Revoked,
        ),
        shape(
            "RISC 1.0, sessions revoked (deprecated)",
            json!({"sub_id": iss_sub("https://id"), "events": account("sessions-revoked", json!({}))}),
            NOT_ALICE,
            Outcome::Revoked,
        ),
        shape(
            "RISC 1.0, an event that is not wanted",
            json!({"sub_id": iss_sub("https://id"), "events": account("recovery-activated", json!({}))}),
            ALL,
            Outcome::Active,
        ),
    ]
}

/// As in documents and sources of these transmitters.
fn transmitters() -> Vec<Shape> {
    let revoked = format!("{CAEP}session-revoked");
    vec![
        Shape {
            keys: ", profile: okta",
            ..shape(
                "Okta, session revoked: the subject is complex, without a format, inside the event",
                json!({"events": {revoked.as_str(): {
                    "subject": {"user": {"format": "iss_sub", "iss": "https://id", "sub": "alice"}},
                    "initiating_entity": "admin", "reason_admin": {"en": "revoked"}, "event_timestamp": 1_702_448_550_908_u64}}}),
                NOT_ALICE,
                Outcome::Revoked,
            )
        },
        Shape {
            keys: ", profile: okta",
            ..shape(
                "Okta, credential change: the subject is simple",
                json!({"events": {format!("{CAEP}credential-change"): {
                    "subject": {"format": "iss_sub", "iss": "https://id/", "sub": "alice"},
                    "change_type": "update", "credential_type": "ALL_FACTORS", "event_timestamp": 1_702_448_550_908_u64}}}),
                NOT_ALICE,
                Outcome::Revoked,
            )
        },
        Shape {
            keys: ", profile: google_risc",
            header: json!({"typ": null}),
            ..shape(
                "Google, sessions revoked: no typ, `subject_type`, an issuer with a slash, several audiences",
                json!({"aud": ["them", "us"], "events": {format!("{RISC}sessions-revoked"): {
                    "subject": {"subject_type": "iss-sub", "iss": "https://id/", "sub": "alice"}}}}),
                NOT_ALICE,
                Outcome::Revoked,
            )
        },
        Shape {
            keys: ", profile: google_risc",
            header: json!({"typ": "JWT"}),
            ..shape(
                "Google, account disabled",
                json!({"events": {format!("{RISC}account-disabled"): {
                    "subject": {"subject_type": "id_token_claims", "iss": "https://id", "sub": "alice"}, "reason": "hijacking"}}}),
                NOT_ALICE,
                Outcome::Blocked,
            )
        },
        Shape {
            keys: ", profile: keycloak",
            ..shape(
                "Keycloak, one session of a user",
                json!({"sub_id": {"format": "complex", "user": iss_sub("https://id"), "session": opaque("s")},
                       "events": {revoked.as_str(): {"initiating_entity": "user", "reason_admin": null}}}),
                NOT_S,
                Outcome::Revoked,
            )
        },
        Shape {
            keys: ", profile: keycloak",
            ..shape(
                "Keycloak, every session of a user",
                json!({"sub_id": {"format": "complex", "user": iss_sub("https://id"), "session": opaque("ALL"), "tenant": null},
                       "events": {revoked.as_str(): {"initiating_entity": "user"}}}),
                NOT_ALICE,
                Outcome::Revoked,
            )
        },
        shape(
            "a session in a format that says nothing here can be any of the user's",
            json!({"sub_id": {"format": "complex", "user": iss_sub("https://id"),
                              "session": {"format": "saml_assertion_id", "issuer": "https://idp", "assertion_id": "_8e8"}},
                   "events": {revoked.as_str(): {}}}),
            NOT_ALICE,
            Outcome::Revoked,
        ),
        shape(
            "a user in a format that says nothing here, and a session",
            json!({"sub_id": {"format": "complex", "user": {"format": "email", "email": "alice@example.com"}, "session": opaque("s")},
                   "events": {revoked.as_str(): {}}}),
            NOT_S,
            Outcome::Revoked,
        ),
        shape(
            "a user of an issuer that the transmitter may not speak of, and a session",
            json!({"sub_id": {"format": "complex", "user": iss_sub("https://other"), "session": opaque("s")},
                   "events": {revoked.as_str(): {}}}),
            ALL,
            Outcome::Active,
        ),
        shape(
            "a session named ALL, of any other transmitter",
            json!({"sub_id": {"format": "complex", "user": iss_sub("https://id"), "session": opaque("ALL")},
                   "events": {revoked.as_str(): {}}}),
            ALL,
            Outcome::Active,
        ),
        shape(
            "caep.dev: both `sub_id` and the older `subject`",
            json!({"sub_id": iss_sub("https://id"), "events": {revoked.as_str(): {
                "subject": {"format": "email", "email": "alice@example.com"}, "event_timestamp": 1_700_000_000}}}),
            NOT_ALICE,
            Outcome::Revoked,
        ),
    ]
}

#[tokio::test]
async fn a_token_in_the_shape_of_a_standard_or_of_a_transmitter_does_what_it_says() {
    for shape in standards().into_iter().chain(transmitters()) {
        let fixture = Fixture::with(&config(shape.keys)).await;
        let mut filter = with_sessions(&fixture).await;
        assert_eq!(filter.ask_new(of(3, "s2", "alice", T0)).await.outcome(), Outcome::Active);
        let usual =
            json!({"iss": "https://idp", "aud": "us", "iat": T0 / 1000, "jti": "24c63fb56e5a2d77a6b512616ca9fa24"});
        let token = signed(&with(header(), &shape.header), &with(usual, &shape.claims));
        let answer = push(&fixture, &token).await;
        assert_eq!(answer.status, 202, "{}: {answer:?}", shape.name);
        let mut left = [false; 3];
        for (left, handle) in left.iter_mut().zip([1, 3, 2]) {
            let outcome = filter.outcome(handle).await;
            *left = outcome == Outcome::Active;
            assert!(*left || outcome == shape.outcome, "{}: {outcome:?}", shape.name);
        }
        assert_eq!(left, shape.left, "{}", shape.name);
    }
}
