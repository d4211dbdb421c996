//! The main scenario: `make demo` shows it, and the test module `main_job` demands the same answers.

use crate::{Answer, Call, Kind, Stream, Testbed, Token};
use serde_json::json;
use std::{fmt, time::SystemTime};

/// One request and its answer.
#[derive(Debug, Clone)]
pub struct Step {
    /// What the step shows.
    pub title: &'static str,
    /// What was sent; empty if it says more about the last answer.
    pub request: &'static str,
    /// The expected answer.
    pub expected: &'static str,
    /// The actual answer.
    pub got: String,
}

impl Step {
    /// Whether the answer is as expected.
    pub fn holds(&self) -> bool {
        self.expected == self.got
    }
}

impl fmt::Display for Step {
    /// One line of at most 80 columns.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, request, got, .. } = self;
        match (self.holds(), request.is_empty()) {
            (true, true) => write!(f, "  ✓ {title:<26} {got}"),
            (true, false) => write!(f, "  ✓ {title:<26} {request:<24} {got}"),
            (false, _) => write!(f, "  ✗ {title:<26} {request:<24} {got} (expected {})", self.expected),
        }
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

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Section(title) => write!(f, "\n{title}"),
            Self::Step(step) => step.fmt(f),
            Self::Waiting(what) => write!(f, "    waiting {what} …"),
        }
    }
}

/// Plays every section and reports events as they happen.
pub async fn play(testbed: &Testbed, report: &mut impl FnMut(Event)) {
    let mut scenario = Scenario { testbed, report };
    scenario.scopes().await;
    scenario.revocation().await;
    scenario.narrowing().await;
    scenario.step_up().await;
    scenario.idleness().await;
    scenario.outage().await;
}

struct Scenario<'a, T> {
    testbed: &'a Testbed,
    report: &'a mut T,
}

const LIST: &str = "GET /orders";
const CHANGE: &str = "PUT /orders/7";
const STREAM: &str = "GET /orders/events";
const REVOKE: &str = "POST sessions/ID/revoke";

impl<T: FnMut(Event)> Scenario<'_, T> {
    async fn scopes(&mut self) {
        self.section("Scopes, route by route");
        let reader = self.testbed.issuer.token().sign();
        self.get("token has orders:read", LIST, Some(&reader), "200").await;
        self.get("no token", LIST, None, "401 no_credentials").await;
        let answer = self.change("orders:write is missing", &reader, "403 insufficient_scope").await;
        let scopes = answer.header("www-authenticate").split("scope=\"").nth(1).unwrap_or_default();
        let scopes = scopes.split('"').next().unwrap_or_default();
        let expected = "orders:write orders:read customers:read admin";
        self.found("the challenge asks for", "", expected, scopes.to_owned());
        self.get("route not in the policy", "GET /nowhere", Some(&reader), "403 no_route").await;
        self.get("public route", "GET /healthz", None, "200").await;
    }

    async fn revocation(&mut self) {
        self.section("A session is revoked, and its open stream is cut");
        let anna = self.testbed.issuer.token().sign();
        self.get("the session opens", LIST, Some(&anna), "200").await;
        let mut stream = self.stream("server-sent events flow", &anna).await;
        self.admin("an operator revokes it", REVOKE, "POST", &format!("{}/revoke", anna.session), "{}").await;
        let end = stream.ended().await;
        let cut = if end.cut { "cut" } else { "ended" };
        self.found("the stream", STREAM, "cut", cut.to_owned());
        self.get("the very next request", LIST, Some(&anna), "401 session_revoked").await;
        let others = self.testbed.issuer.token().subject("bert").sign();
        self.get("somebody else's session", LIST, Some(&others), "200").await;
    }

    async fn narrowing(&mut self) {
        self.section("A role is taken away while the session goes on");
        let anna = self.testbed.issuer.token().scopes("orders:read orders:write customers:read").sign();
        self.change("may change orders", &anna, "200").await;
        let left = r#"{"scopes":["orders:read","customers:read"]}"#;
        self.admin("orders:write is taken", "PATCH sessions/ID", "PATCH", &anna.session, left).await;
        self.change("the same token", &anna, "403 insufficient_scope").await;
        self.get("what is left", LIST, Some(&anna), "200").await;
    }

    async fn step_up(&mut self) {
        self.section("A route asks for a stronger login");
        let admin = self.testbed.issuer.token().subject("carla").scopes("admin").session("step-up");
        let request = "GET /admin/users";
        let call = |token: &Token| self.testbed.get("/admin/users").host("admin.example.com").bearer(token);
        let (weak, strong) = (call(&admin.sign()), call(&admin.claim("acr", json!("aal2")).sign()));
        let answer = self.step("password only", request, weak, "401 step_up_required").await;
        let challenge = answer.header("www-authenticate");
        let asked = challenge.contains("acr_values=\"aal2\"") && challenge.contains("max_age=\"900\"");
        let asked = if asked { "acr_values=aal2 max_age=900" } else { challenge }.to_owned();
        self.found("the challenge asks for", "", "acr_values=aal2 max_age=900", asked);
        self.step("after a second factor", request, strong, "200").await;
    }

    async fn idleness(&mut self) {
        self.section("A session is left alone (kiosk: 2 s idle)");
        let kiosk = self.testbed.issuer.token().client("kiosk").sign();
        self.get("the session opens", LIST, Some(&kiosk), "200").await;
        (self.report)(Event::Waiting("until the session has been idle for too long"));
        let idle_until = self.testbed.session(&kiosk).await["idle_expires_at"].clone();
        let idle_until = idle_until.as_str().unwrap_or_default().to_owned();
        crate::until("the idle limit passes", async || (rfc3339(SystemTime::now()) > idle_until).then_some(())).await;
        self.get("too late", LIST, Some(&kiosk), "401 session_idle_timeout").await;
    }

    async fn outage(&mut self) {
        self.section("The session service is lost (on_outage: deny)");
        let anna = self.testbed.issuer.token().sign();
        self.get("the session opens", LIST, Some(&anna), "200").await;
        let admin = self.testbed.service.admin();
        let streams = admin.streams().await;
        self.testbed.service.kill();
        self.get("nobody can say it is good", LIST, Some(&anna), "503 session_unavailable").await;
        self.get("public route", "GET /healthz", None, "200").await;
        (self.report)(Event::Waiting("until the session service is back"));
        self.testbed.service.restart().await;
        // Answers alone do not tell: they may all come from the first worker that is back.
        crate::until("every worker is back", async || (admin.streams().await >= streams).then_some(())).await;
        self.get("the session goes on", LIST, Some(&anna), "200").await;
    }

    fn section(&mut self, title: &'static str) {
        (self.report)(Event::Section(title));
    }

    /// A GET at Envoy; `request` is what is shown of it.
    async fn get(&mut self, title: &'static str, request: &'static str, token: Option<&Token>, expected: &'static str) {
        let call = self.testbed.get(request.trim_start_matches("GET "));
        let call = match token {
            Some(token) => call.bearer(token),
            None => call,
        };
        self.step(title, request, call, expected).await;
    }

    async fn change(&mut self, title: &'static str, token: &Token, expected: &'static str) -> Answer {
        let call = self.testbed.call("PUT", "/orders/7").bearer(token);
        self.step(title, CHANGE, call, expected).await
    }

    async fn stream(&mut self, title: &'static str, token: &Token) -> Stream {
        let headers = vec![("authorization".to_owned(), format!("Bearer {}", token.text).into_bytes())];
        let path = STREAM.trim_start_matches("GET ");
        let opened = self.testbed.try_open_with(Kind::EventsHttp1, "www.example.com", path, headers).await;
        let mut stream = opened.unwrap_or_else(|refused| panic!("the stream was not released: {refused:?}"));
        stream.flows().await;
        self.found(title, STREAM, "200", "200".to_owned());
        stream
    }

    async fn admin(
        &mut self,
        title: &'static str,
        request: &'static str,
        method: &str,
        session: &str,
        body: &'static str,
    ) {
        let call = self.testbed.service.admin().call(method, &format!("/v1/sessions/{session}"));
        let call = call.header("content-type", "application/json").body(body);
        self.step(title, request, call, "200").await;
    }

    async fn step(&mut self, title: &'static str, request: &'static str, call: Call, expected: &'static str) -> Answer {
        let answer = call.await;
        let got = format!("{} {}", answer.status.as_u16(), answer.code());
        self.found(title, request, expected, got.trim_end().to_owned());
        answer
    }

    fn found(&mut self, title: &'static str, request: &'static str, expected: &'static str, got: String) {
        (self.report)(Event::Step(Step { title, request, expected, got }));
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
