//! The main scenario: `make demo` shows it, and the test module `main_job` demands the same answers.

use crate::{Answer, Call, Testbed, Token};
use std::time::SystemTime;

/// One request and its answer.
#[derive(Debug, Clone)]
pub struct Step {
    /// What the step shows.
    pub title: &'static str,
    /// What was sent.
    pub request: String,
    /// The expected answer.
    pub expected: String,
    /// The actual answer.
    pub got: String,
}

impl Step {
    /// Whether the answer is as expected.
    pub fn holds(&self) -> bool {
        self.expected == self.got
    }
}

/// What a scenario reports while it runs.
#[derive(Debug, Clone)]
pub enum Event {
    /// A new section begins.
    Section(&'static str),
    /// A step was taken.
    Step(Step),
    /// Something takes a while.
    Waiting(&'static str),
}

/// Plays every section and reports events as they happen.
pub async fn play(testbed: &Testbed, report: &mut impl FnMut(Event)) {
    let mut scenario = Scenario { testbed, report };
    scenario.scopes().await;
    scenario.revocation().await;
    scenario.narrowing().await;
    scenario.idleness().await;
}

struct Scenario<'a, T> {
    testbed: &'a Testbed,
    report: &'a mut T,
}

impl<T: FnMut(Event)> Scenario<'_, T> {
    async fn scopes(&mut self) {
        self.section("Scopes, route by route");
        let reader = self.testbed.issuer.token().sign();
        self.get("right scope", "/orders", Some(&reader), "200").await;
        self.get("no token", "/orders", None, "401 no_credentials").await;
        let change = self.testbed.call("PUT", "/orders/7").bearer(&reader);
        let answer = self.step("scope missing", "PUT /orders/7  orders:read", change, "403 insufficient_scope");
        let answer = answer.await;
        self.challenge(&answer);
        self.get("route not in the policy", "/nowhere", Some(&reader), "403 no_route").await;
        self.get("public route", "/healthz", None, "200").await;
    }

    async fn revocation(&mut self) {
        self.section("A session is revoked");
        let anna = self.testbed.issuer.token().sign();
        self.get("session opens", "/orders", Some(&anna), "200").await;
        self.admin("admin revokes it", "POST", &format!("/v1/sessions/{}/revoke", anna.session), "{}").await;
        self.get("the very next request", "/orders", Some(&anna), "401 session_revoked").await;
        let others = self.testbed.issuer.token().subject("bert").sign();
        self.get("someone else's session", "/orders", Some(&others), "200").await;
    }

    async fn narrowing(&mut self) {
        self.section("A role is taken away while the session goes on");
        let scopes = "orders:read orders:write customers:read";
        let anna = self.testbed.issuer.token().scopes(scopes).sign();
        let change = || self.testbed.call("PUT", "/orders/7").bearer(&anna);
        let request = "PUT /orders/7  orders:read orders:write …";
        self.step("may change orders", request, change(), "200").await;
        let path = format!("/v1/sessions/{}", anna.session);
        let left = r#"{"scopes":["orders:read","customers:read"]}"#;
        self.admin("admin takes orders:write", "PATCH", &path, left).await;
        let change = self.testbed.call("PUT", "/orders/7").bearer(&anna);
        self.step("same token", request, change, "403 insufficient_scope").await;
        self.get("what is left", "/orders", Some(&anna), "200").await;
    }

    async fn idleness(&mut self) {
        self.section("A session is left alone (kiosk: 2 s idle)");
        let kiosk = self.testbed.issuer.token().client("kiosk").sign();
        self.get("session opens", "/orders", Some(&kiosk), "200").await;
        (self.report)(Event::Waiting("until the session has been idle for too long"));
        let idle_until = self.testbed.session(&kiosk).await["idle_expires_at"].clone();
        let idle_until = idle_until.as_str().unwrap_or_default().to_owned();
        crate::until("the idle limit passes", async || (rfc3339(SystemTime::now()) > idle_until).then_some(())).await;
        self.get("too late", "/orders", Some(&kiosk), "401 session_idle_timeout").await;
    }

    fn section(&mut self, title: &'static str) {
        (self.report)(Event::Section(title));
    }

    async fn get(&mut self, title: &'static str, path: &str, token: Option<&Token>, expected: &str) {
        let call = self.testbed.get(path);
        let (call, who) = match token {
            Some(token) => (call.bearer(token), "orders:read"),
            None => (call, "–"),
        };
        self.step(title, &format!("GET {path}  {who}"), call, expected).await;
    }

    async fn admin(&mut self, title: &'static str, method: &str, path: &str, body: &'static str) {
        let call = self.testbed.service.admin().call(method, path);
        let call = call.header("content-type", "application/json").body(body);
        let request = format!("{method} {path}");
        self.step(title, &request, call, "200").await;
    }

    async fn step(&mut self, title: &'static str, request: &str, call: Call, expected: &str) -> Answer {
        let answer = call.await;
        let got = format!("{} {}", answer.status.as_u16(), answer.code());
        (self.report)(Event::Step(Step {
            title,
            request: request.to_owned(),
            expected: expected.to_owned(),
            got: got.trim_end().to_owned(),
        }));
        answer
    }

    /// A refusal for a missing scope names the scopes that suffice.
    fn challenge(&mut self, answer: &Answer) {
        let challenge = answer.header("www-authenticate");
        let tells = challenge.contains("error=\"insufficient_scope\"") && challenge.contains("orders:write");
        (self.report)(Event::Step(Step {
            title: "… and says what is required",
            request: challenge.to_owned(),
            expected: "challenge".to_owned(),
            got: if tells { "challenge" } else { "no challenge" }.to_owned(),
        }));
    }
}

/// RFC 3339 in UTC with milliseconds; such texts sort in the order of their times.
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

/// Year, month and day of a day since the Unix epoch (Howard Hinnant's `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_read_as_rfc_3339() {
        let at = |seconds| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_millis(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(at(1_798_761_599_000), "2026-12-31T23:59:59.000Z");
    }
}
