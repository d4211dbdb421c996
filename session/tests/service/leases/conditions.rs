//! Leases and conditions: attributes and policies that take leases back.

use super::*;
use std::path::Path;
use tempfile::TempDir;

const RISK: &str = r#"@id("risk") @reason("the risk is high")
forbid (principal, action, resource == Portcullis::Route::"leased") when { context.risk == "high" };"#;
const NEVER: &str = r#"@id("never") @reason("closed") forbid (principal, action, resource);"#;

/// A service that decides by a condition about an attribute, and the folder of its conditions.
async fn with_conditions() -> (Fixture, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), RISK);
    (Fixture::with(&format!("conditions: {{cedar: {}}}", folder.path().display())).await, folder)
}

/// Replaces the conditions at once: the service looks at them by itself, too.
fn write(folder: &Path, policies: &str) {
    std::fs::write(folder.join("next"), policies).unwrap();
    std::fs::rename(folder.join("next"), folder.join("a.cedar")).unwrap();
}

async fn make(fixture: &Fixture, folder: &Path, is_attribute: bool) -> Answer {
    if is_attribute {
        let path = format!("/v1/attributes/session/{}/risk", session_id("s"));
        return fixture.call("PUT", &path, r#"{"value":"high"}"#).await;
    }
    write(folder, NEVER);
    fixture.call("POST", "/v1/conditions", "").await
}

#[tokio::test]
async fn an_attribute_or_other_conditions_hold_for_filters_when_they_are_answered() {
    for is_attribute in [true, false] {
        let (fixture, folder) = with_conditions().await;
        let (mut filter, asked_at) = with_lease(&fixture, LONG).await;
        taken_back_before(&mut filter, make(&fixture, folder.path(), is_attribute)).await;
        assert!(asked_at.elapsed() < Duration::from_millis(LONG), "it waits for the end of the lease");
        let refused = ask(&mut filter, 2, 0).await;
        assert_eq!((refused.outcome(), refused.lease_ms), (Outcome::ConditionFailed, None));
    }
}

#[tokio::test]
async fn they_wait_for_the_end_of_a_lease_that_nobody_gives_back_and_no_longer() {
    for is_attribute in [true, false] {
        let (fixture, folder) = with_conditions().await;
        let (_hung, asked_at) = with_lease(&fixture, SHORT).await;
        let answer = make(&fixture, folder.path(), is_attribute).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        waited_out(asked_at, "it");
    }
}

#[tokio::test]
async fn an_attribute_that_changes_no_verdict_takes_nothing_back_and_waits_for_nobody() {
    let (fixture, _folder) = with_conditions().await;
    let (_filter, asked_at) = with_lease(&fixture, LONG).await;
    let path = format!("/v1/attributes/session/{}/risk", session_id("s"));
    let answer = fixture.call("PUT", &path, r#"{"value":"low"}"#).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(asked_at.elapsed() < Duration::from_millis(LONG), "the lease stands");
}
