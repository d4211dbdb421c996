//! What `admins` and `metrics` say when they are right, and what they are told when they are not.

use crate::admins::{MetricsAccess, Scope};
use crate::config::{Reload, Settings, read};

const BASE: &str = "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nstore: {embedded: {path: data}}\n";
const ANNA: &str = "{name: anna, credential: {env: ANNA}, scopes: [\"portcullis:view\", \"portcullis:approve\"]}";
const OAUTH: &str = "issuer: https://id, audiences: [portcullis-admin], algorithms: [ES256], keys: {jwks_url: \"http://127.0.0.1:9/jwks\"}";

fn settings(more: &str) -> Result<Settings, String> {
    let env = |name: &str| Some(format!("a long secret of {name}"));
    read(&format!("{BASE}{more}\n"), &env).map_err(|faults| faults.to_string())
}

fn faults(more: &str) -> String {
    settings(more).map(drop).unwrap_err()
}

#[test]
fn people_are_named_with_what_they_may_do_and_who_they_are() {
    let ben = "{name: ben@example.com, credential: [{env: OLD}, {env: NEW}], scopes: [\"portcullis:admin\"], \
               subject: {issuer: https://id, sub: ben}}";
    let settings = settings(&format!("admins: [{ANNA}, {ben}]")).unwrap();
    let admins = settings.admins.read().clone();
    let [anna, ben] = &admins.named[..] else { panic!("{admins:?}") };
    assert_eq!((&*anna.name, anna.subject.is_none()), ("anna", true));
    assert!(anna.scopes.allow(Scope::View) && anna.scopes.allow(Scope::Approve) && !anna.scopes.allow(Scope::Operate));
    let subject = ben.subject.as_ref().unwrap();
    assert_eq!((&*ben.name, &*subject.issuer, &*subject.sub), ("ben@example.com", "https://id", "ben"));
    assert!(admins.admin_credential().is_none() && admins.oauth.is_empty());
}

#[test]
fn each_fault_of_an_admin_says_where_it_is() {
    let admin = |keys: &str| format!("admins: [{{{keys}}}]");
    let sound = "credential: {env: X}, scopes: [\"portcullis:view\"]";
    for (more, wanted) in [
        (String::new(), "admin_credential: is missing: set it, or name the people"),
        ("admins: []".to_owned(), "admin_credential: is missing"),
        (admin(sound), "admins[0].name: `` is not a name"),
        (admin(&format!("name: \"https://id#anna\", {sound}")), "admins[0].name: `https://id#anna` is not a name"),
        (admin(&format!("name: admin_credential, {sound}")), "admins[0].name: `admin_credential` is the one who"),
        (format!("admins: [{ANNA}, {{name: anna, {sound}}}]"), "admins[1].name: another admin is named `anna`"),
        (admin("name: a, scopes: [\"portcullis:view\"]"), "admins[0].credential: is missing"),
        (admin("name: a, credential: {env: X}"), "admins[0].scopes: is missing or empty"),
        (admin("name: a, credential: {env: X}, scopes: []"), "admins[0].scopes: is missing or empty"),
        (admin("name: a, credential: {env: X}, scopes: [view]"), "admins[0].scopes: `view` is not one of"),
        (admin(&format!("name: a, {sound}, subject: {{issuer: \"\", sub: a}}")), "admins[0].subject: `issuer` and"),
        (admin(&format!("name: a, {sound}, role: root")), "role: unknown key"),
        (
            format!("admins: [{ANNA}, {{name: a, credential: {{env: ANNA}}, scopes: [\"portcullis:view\"]}}]"),
            "admins: the credential of `a`: is also in `admins: the credential of `anna``",
        ),
        (
            format!("admin_credential: {{env: ANNA}}\nadmins: [{ANNA}]"),
            "admins: the credential of `anna`: is also in `admin_credential`",
        ),
        (
            format!("filter_credential: {{env: ANNA}}\nadmins: [{ANNA}]"),
            "admins: the credential of `anna`: is also a `filter_credential`",
        ),
        (
            format!("metrics: {{credential: {{env: ANNA}}}}\nadmins: [{ANNA}]"),
            "metrics.credential: is also in `admins: the credential of `anna``",
        ),
    ] {
        let found = faults(&more);
        assert!(found.contains(wanted) && !found.contains("the secret of"), "{wanted}: {found}");
    }
}

#[test]
fn each_fault_of_an_oauth_entry_says_where_it_is() {
    let oauth = |keys: &str| format!("admins: [{{oauth: {{{keys}}}}}]");
    assert!(settings(&oauth(OAUTH)).is_ok());
    for (more, wanted) in [
        (oauth(&OAUTH.replace("https://id", "\"\"")), ".issuer: `` is not an issuer"),
        (oauth(&OAUTH.replace("https://id", "\"https://id#a\"")), ".issuer: `https://id#a` is not an issuer"),
        (oauth(&OAUTH.replace("[portcullis-admin]", "[]")), ".audiences: is missing or empty"),
        (oauth(&OAUTH.replace("ES256", "none")), ".algorithms: `none` is not an algorithm"),
        (oauth(&OAUTH.replace("ES256", "HS256")), ".algorithms: `HS256` is not an algorithm"),
        (oauth("issuer: https://id, audiences: [a]"), ".algorithms: is missing"),
        (oauth("issuer: https://id, audiences: [a]"), ".keys: is missing"),
        (oauth(&OAUTH.replace("http://127.0.0.1:9", "http://id")), ".keys.jwks_url: `http://id/jwks` is not encrypted"),
        (oauth(&OAUTH.replace("jwks_url: \"http://127.0.0.1:9/jwks\"", "inline: {}")), ".keys: inline: "),
        (oauth(&format!("{OAUTH}, max_age: 0s")), ".max_age: `0s` would refuse every token"),
        (oauth(&format!("{OAUTH}, max_age: soon")), ".max_age: `soon` is not a duration"),
        (oauth(&format!("{OAUTH}, clock_skew: 2m")), ".clock_skew: `2m` is more than a minute"),
        (oauth(&format!("{OAUTH}, acr: []")), ".acr: is empty"),
        (oauth(&format!("{OAUTH}, acr: ['a\"b']")), "has characters that a challenge cannot repeat"),
        (oauth(&format!("{OAUTH}, token_types: []")), ".token_types: is empty"),
        (oauth(&format!("{OAUTH}, scope_claims: [\"/a~2\"]")), ".scope_claims: `/a~2`"),
        (oauth(&format!("{OAUTH}, claims: {{groups: {{}}}}")), ".claims.groups: is empty"),
        (
            oauth(&format!("{OAUTH}, claims: {{groups: {{ops: [operate]}}}}")),
            ".claims.groups.ops: `operate` is not one",
        ),
        (format!("admins: [{{name: a, oauth: {{{OAUTH}}}}}]"), "admins[0]: `oauth` stands alone"),
        (format!("admins: [{{oauth: {{{OAUTH}}}}}, {{oauth: {{{OAUTH}}}}}]"), "admins[1].oauth.issuer: another entry"),
    ] {
        let found = faults(&more);
        assert!(found.contains(wanted), "{wanted}: {found}");
    }
}

#[test]
fn metrics_are_for_admins_for_a_credential_or_for_everybody() {
    let access =
        |more: &str| settings(&format!("admin_credential: {{env: A}}\n{more}")).map(|it| it.metrics.read().clone());
    assert_eq!(access(""), Ok(MetricsAccess::Admins));
    assert_eq!(access("metrics: {open: true}"), Ok(MetricsAccess::Open));
    assert!(matches!(access("metrics: {credential: {env: M}}"), Ok(MetricsAccess::Credential(_))));
    for wrong in ["metrics: {}", "metrics: {open: false}", "metrics: {open: true, credential: {env: M}}"] {
        assert_eq!(access(wrong).unwrap_err(), "metrics: needs either `credential` or `open: true`", "{wrong}");
    }
    let open = settings("admin_credential: {env: A}\nmetrics: {open: true}").unwrap();
    assert!(open.open_doors().iter().any(|door| door.starts_with("metrics: open")));
}

#[test]
fn a_reload_takes_over_admins_and_keeps_the_keys_of_issuers_that_stay() {
    let running = settings(&format!("admins: [{ANNA}, {{oauth: {{{OAUTH}}}}}]")).unwrap();
    let before = running.admins.read().oauth[0].clone();
    let reload = |more: &str| running.take_over(&settings(more).unwrap()).reloaded;
    assert_eq!(reload(&format!("admins: [{ANNA}, {{oauth: {{{OAUTH}}}}}]")), [""; 0]);
    let root = "admin_credential: {env: ROOT}";
    assert_eq!(reload(&format!("{root}\nadmins: [{{oauth: {{{OAUTH}}}}}]")), ["admin_credential", "admins"]);
    assert!(std::sync::Arc::ptr_eq(&before, &running.admins.read().oauth[0]), "its keys are kept");
    assert_eq!(reload(&format!("{root}\nadmins: [{{oauth: {{{OAUTH}, max_age: 10m}}}}]")), ["admins"]);
    assert_eq!(reload(&format!("{root}\nmetrics: {{open: true}}")), ["admins", "metrics"]);
    assert_eq!(running.take_over(&running.clone()), Reload { reloaded: vec![], needs_restart: vec![] });
}

#[test]
fn a_change_of_a_credentials_file_is_noticed_once() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    std::fs::write(&one, "sixteen bytes or more").unwrap();
    std::fs::write(&other, "sixteen bytes and more").unwrap();
    let more = format!(
        "filter_credential: [{{env: F}}, {{file: '{}'}}]\nadmins: [{{name: a, credential: {{file: '{}'}}, scopes: [\"portcullis:view\"]}}]",
        one.display(),
        other.display()
    );
    let settings = settings(&more).unwrap();
    let mut files = crate::config::CredentialFiles::now(&settings);
    assert!(!files.have_changed(&settings));
    for file in [&one, &other] {
        // Another file takes its name, as where secrets are mounted.
        let next = folder.path().join("next");
        std::fs::write(&next, "sixteen bytes at least").unwrap();
        std::fs::rename(&next, file).unwrap();
        assert!(files.have_changed(&settings) && !files.have_changed(&settings), "{}", file.display());
    }
    std::fs::remove_file(&one).unwrap();
    assert!(files.have_changed(&settings) && !files.have_changed(&settings));
    // What could not be read is read again, less and less often.
    for pauses in [1, 2, 4, 8, 16, 32, 32] {
        files.were_read(false);
        let waited = (1..).find(|_| files.have_changed(&settings));
        assert_eq!(waited, Some(pauses));
    }
    files.were_read(true);
    assert!(!(0..100).any(|_| files.have_changed(&settings)));
}
