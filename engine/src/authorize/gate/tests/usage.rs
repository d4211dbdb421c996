//! What a worker reports about requests that it decides by itself.

use super::*;

impl Bench {
    /// A worker whose session service has these capabilities.
    fn with_service(capabilities: &[&str]) -> Self {
        let mut bench = Self::with_keys("enforce");
        bench.gate.closed(STREAM, at(NOW_MS));
        bench.gate.tick(at(NOW_MS + 1_000));
        assert_eq!(bench.gate.act(at(NOW_MS + 1_000).instant), Some(Act::Open));
        bench.gate.opened(Some(STREAM), at(NOW_MS + 1_000).instant);
        assert!(matches!(bench.gate.act(at(NOW_MS + 1_000).instant), Some(Act::Send { .. })));
        let capabilities = capabilities.iter().map(|name| (*name).to_owned()).collect();
        let welcome = wire::Welcome { capabilities, ..Default::default() };
        let message = wire::ServiceMessage { welcome: Some(welcome), ..Default::default() };
        bench.gate.message(STREAM, &message.encode_to_vec(), at(NOW_MS + 1_000));
        bench
    }

    fn decide_some(&mut self) {
        let (both, read) = (self.token("read write"), self.token("read"));
        for (path, token) in
            [("/open", None), ("/open", None), ("/both", Some(&read)), ("/both", None), ("/nowhere", Some(&both))]
        {
            self.request(1, path, token.map(String::as_str), NOW_MS + 2_000);
            self.gate.gone(1);
        }
    }
}

#[test]
fn releases_without_a_token_and_missing_scopes_are_reported_and_other_refusals_are_not() {
    let mut bench = Bench::with_service(&[wire::BEAT, wire::USAGE]);
    bench.decide_some();
    let mut uses = bench.sent(NOW_MS + 2_000).uses;
    uses.sort_by_key(|used| used.route);
    let released = wire::Use { route: Some(0), count: 2, ..Default::default() };
    let refused = wire::Use {
        route: Some(1),
        client_id: "app".into(),
        missing: vec!["write".into()],
        count: 1,
        ..Default::default()
    };
    assert_eq!(uses, [released, refused]);
    assert_eq!(bench.gate.act(at(NOW_MS + 9_000).instant), None, "they are reported once");
}

#[test]
fn a_service_that_does_not_count_is_told_nothing() {
    let mut bench = Bench::with_service(&[wire::BEAT]);
    bench.decide_some();
    assert_eq!(bench.gate.act(at(NOW_MS + 2_500).instant), None);
}
