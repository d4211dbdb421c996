//! Open streams, each kind with a real client library: released, followed, and cut when their session ends.

use portcullis_tests::{Kind, Stream, Testbed, Token, TokenBuilder, busy, now_s, policy, quiet, until};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

/// The idle limit of [`limits`], and how long an active stream must stay open to prove that it is not idle.
const IDLE: Duration = Duration::from_secs(2);
const LONGER_THAN_IDLE: Duration = Duration::from_secs(7);

fn limits(config: &mut Value) {
    config["access"] = json!([
        {"name": "idle", "when": {"client": ["idler"]}, "idle": format!("{}s", IDLE.as_secs())},
        {"name": "short", "when": {"client": ["short"]}, "absolute": "3s"},
        {"name": "all", "absolute": "8h", "idle": "30m"},
    ]);
}

async fn testbed() -> Testbed {
    let testbed = Testbed::builder().policy(policy::streams()).session(limits).start().await;
    testbed.ready().await;
    testbed
}

/// Demands that the filter never panicked and that the upstream has no open stream.
async fn is_well(testbed: &Testbed) {
    assert_eq!(testbed.envoy.vm_reloads().await, 0, "{}", testbed.envoy.log());
    until("the upstream knows that the streams have ended", async || (testbed.upstream.streams() == 0).then_some(()))
        .await;
}

/// One stream of every kind, each with a session of its own.
async fn one_of_each(testbed: &Testbed, kinds: &[Kind], token: impl Fn() -> TokenBuilder) -> Vec<(Stream, Token)> {
    let mut streams = Vec::new();
    for kind in kinds {
        let token = token().sign();
        streams.push((testbed.open(*kind, &token).await, token));
    }
    streams
}

async fn all_flow(streams: &mut [(Stream, Token)]) {
    for (stream, _) in streams {
        stream.flows().await;
    }
}

async fn all_are_cut(streams: &mut [(Stream, Token)]) {
    for (stream, _) in streams {
        stream.is_cut().await;
    }
}

/// Demands that the access log and the counters name the reason of each cut.
async fn all_were_cut_for(testbed: &Testbed, code: &str, streams: &[(Stream, Token)]) {
    let sessions: BTreeSet<&str> = streams.iter().map(|(_, token)| token.session.as_str()).collect();
    let field = format!("code={code} ");
    until(&format!("the access log says {field}of each stream"), async || {
        let lines = testbed.envoy.access_log();
        let said = lines.iter().filter_map(|line| line["portcullis"].as_str()).filter(|said| said.contains(&field));
        let said: Vec<&str> = said.collect();
        // A stream whose response has not begun is refused like a request.
        let is_cut = said.iter().any(|said| said.ends_with(" stream=cut"));
        (is_cut && sessions.iter().all(|id| said.iter().any(|said| said.contains(id)))).then_some(())
    })
    .await;
    until("the cuts are counted", async || {
        let cuts = testbed.envoy.stat(&format!("portcullis.cuts.code.{code}.")).await;
        (cuts == streams.len() as u64).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_released_and_flows_until_its_client_leaves() {
    let testbed = testbed().await;
    let mut streams = one_of_each(&testbed, &Kind::FLOWING, || testbed.issuer.token()).await;
    for _ in 0..3 {
        all_flow(&mut streams).await;
    }
    drop(streams);
    is_well(&testbed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_refused_like_any_request() {
    let testbed = testbed().await;
    let revoked = testbed.issuer.token().sign();
    testbed.get("/me").bearer(&revoked).await.passes();
    testbed.service.admin().revoke(&revoked.session).await;
    let poor = testbed.issuer.token().scopes("customers:read").sign();
    for kind in Kind::FLOWING {
        // UNAUTHENTICATED and PERMISSION_DENIED where the answer is gRPC's.
        let statuses = if kind == Kind::Rpc { [16, 7] } else { [401, 403] };
        for (token, status, code) in
            [(&revoked, statuses[0], "session_revoked"), (&poor, statuses[1], "insufficient_scope")]
        {
            let refused = testbed.try_open(kind, "www.example.com", token).await.err().expect("a refusal");
            assert_eq!(refused.status, status, "{kind:?}: {refused:?}");
            // A client library may drop the body of a refused upgrade.
            assert!(kind == Kind::WebSocket || refused.text.contains(code), "{kind:?}: {refused:?}");
        }
    }
    assert_eq!(testbed.upstream.streams(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_a_session_cuts_its_streams_and_no_others() {
    let testbed = testbed().await;
    let mut bystanders = one_of_each(&testbed, &Kind::FLOWING, || testbed.issuer.token()).await;
    let mut streams = one_of_each(&testbed, &Kind::FLOWING, || testbed.issuer.token()).await;
    all_flow(&mut streams).await;
    for (stream, token) in &mut streams {
        testbed.service.admin().revoke(&token.session).await;
        stream.is_cut().await;
    }
    all_were_cut_for(&testbed, "session_revoked", &streams).await;
    all_flow(&mut bystanders).await;
    drop((streams, bystanders));
    is_well(&testbed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_streams_of_a_session_are_cut_together_on_every_worker() {
    let testbed = testbed().await;
    let token = testbed.issuer.token().sign();
    let mut streams = Vec::new();
    for _ in 0..4 {
        for kind in Kind::FLOWING {
            streams.push((testbed.open(kind, &token).await, token.clone()));
        }
    }
    all_flow(&mut streams).await;
    testbed.service.admin().revoke(&token.session).await;
    all_are_cut(&mut streams).await;
    all_were_cut_for(&testbed, "session_revoked", &streams).await;
    drop(streams);
    is_well(&testbed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_over_one_h2_connection_are_cut_one_by_one() {
    let testbed = testbed().await;
    let client = testbed.client();
    let [ended, lives] = [testbed.issuer.token().sign(), testbed.issuer.token().sign()];
    let begin = async |token: &Token| {
        let call = client.get("/stream/events").bearer(token).http2();
        Stream::of(call.begin().await.expect("an answer"))
    };
    let (mut first, mut second) = (begin(&ended).await, begin(&lives).await);
    first.flows().await;
    testbed.service.admin().revoke(&ended.session).await;
    first.is_cut().await;
    second.flows().await;
    let answer = client.get("/me").bearer(&lives).http2().await;
    answer.passes();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_cut_when_its_route_s_scope_is_lost_and_only_then() {
    let testbed = testbed().await;
    // A person each: what is left of the scopes is left to all sessions of a party.
    let count = std::cell::Cell::new(0);
    let rich = || {
        count.set(count.get() + 1);
        testbed.issuer.token().subject(&format!("person-{}", count.get())).scopes("orders:read customers:read")
    };
    let mut streams = one_of_each(&testbed, &Kind::FLOWING, rich).await;
    let admin = testbed.service.admin();
    for (stream, token) in &mut streams {
        admin.narrow(&token.session, &["orders:read"]).await;
        stream.flows().await;
        admin.narrow(&token.session, &["customers:read"]).await;
        stream.is_cut().await;
    }
    all_were_cut_for(&testbed, "insufficient_scope", &streams).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_a_subject_cuts_every_stream_of_it() {
    let testbed = testbed().await;
    let mut bystanders = one_of_each(&testbed, &Kind::FLOWING, || testbed.issuer.token()).await;
    let mut streams = one_of_each(&testbed, &Kind::FLOWING, || testbed.issuer.token().subject("bert")).await;
    let revocation = json!({"issuer": testbed.issuer.name, "subject": "bert"});
    testbed.service.admin().revoke_all(&revocation).await;
    all_are_cut(&mut streams).await;
    all_were_cut_for(&testbed, "session_revoked", &streams).await;
    all_flow(&mut bystanders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_does_not_outlive_its_token() {
    let testbed = testbed().await;
    let mut streams = one_of_each(&testbed, &Kind::FLOWING, || testbed.issuer.token().expires_in(4)).await;
    all_flow(&mut streams).await;
    all_are_cut(&mut streams).await;
    all_were_cut_for(&testbed, "token_expired", &streams).await;
    // The sessions stay active: a client can come back with a refreshed token.
    for (_, token) in &streams {
        assert_eq!(testbed.session(token).await["state"], "active");
    }
}

/// Envoy restarts its timer whenever the filter changes the period. If each refusal did that, the timer would never fire.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refusals_keeps_no_stream_open_beyond_its_token() {
    let _busy = busy().await;
    let testbed = testbed().await;
    let revoked = testbed.issuer.token().sign();
    testbed.get("/me").bearer(&revoked).await.passes();
    testbed.service.admin().revoke(&revoked.session).await;
    let mut streams = one_of_each(&testbed, &Kind::FLOWING, || testbed.issuer.token().expires_in(4)).await;
    // One after the other, so that their worker alternates between having and not having something to wait for.
    let call = testbed.get("/me").bearer(&revoked);
    let flood = tokio::spawn(async move {
        loop {
            call.clone().await.refused(401, "session_revoked");
        }
    });
    tokio::time::timeout(Duration::from_secs(15), all_are_cut(&mut streams)).await.expect("cut in spite of the flood");
    flood.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_outlives_its_token_where_the_route_says_so() {
    let _quiet = quiet().await;
    let testbed = Testbed::with_policy(policy::outliving_streams()).await;
    testbed.ready().await;
    let mut streams = Vec::new();
    for kind in Kind::FLOWING {
        let token = testbed.issuer.token().expires_in(3).sign();
        streams.push((testbed.open_at(kind, "outlive.example.com", &token).await, token));
    }
    let expiry = now_s() + 3;
    until("the tokens have expired for seconds", async || (now_s() > expiry + 2).then_some(())).await;
    all_flow(&mut streams).await;
    for (stream, token) in &mut streams {
        testbed.service.admin().revoke(&token.session).await;
        stream.is_cut().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_absolute_lifetime_cuts_a_busy_stream() {
    let testbed = testbed().await;
    let mut streams = one_of_each(&testbed, &Kind::FLOWING, || testbed.issuer.token().client("short")).await;
    for (stream, _) in &mut streams {
        until("its lifetime passes", async || {
            stream.send();
            (!stream.is_open()).then_some(())
        })
        .await;
    }
    all_are_cut(&mut streams).await;
    all_were_cut_for(&testbed, "session_lifetime_exceeded", &streams).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_is_idle() {
    let testbed = testbed().await;
    let mut streams = one_of_each(&testbed, &Kind::SILENT, || testbed.issuer.token().client("idler")).await;
    all_are_cut(&mut streams).await;
    all_were_cut_for(&testbed, "session_idle_timeout", &streams).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_in_either_direction_count_as_activity() {
    let _quiet = quiet().await;
    let testbed = testbed().await;
    let mut streams = one_of_each(&testbed, &Kind::FLOWING, || testbed.issuer.token().client("idler")).await;
    let start = std::time::Instant::now();
    until("they live for longer than the idle limit", async || {
        for (stream, _) in &streams {
            stream.send();
            assert!(stream.is_open(), "{:?}", testbed.envoy.access_log());
        }
        (start.elapsed() > LONGER_THAN_IDLE).then_some(())
    })
    .await;
    for (_, token) in &streams {
        assert_eq!(testbed.session(token).await["state"], "active");
    }
    all_flow(&mut streams).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn background_bytes_do_not_count_as_activity() {
    let testbed = testbed().await;
    let mut streams = Vec::new();
    for kind in [Kind::EventsHttp1, Kind::EventsHttp2, Kind::DownloadHttp1] {
        // The first request of a session opens it, which is activity on any route.
        let token = testbed.issuer.token().client("idler").sign();
        streams.push((testbed.open_at(kind, "background.example.com", &token).await, token));
    }
    all_are_cut(&mut streams).await;
    all_were_cut_for(&testbed, "session_idle_timeout", &streams).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_elsewhere_keep_a_silent_stream_s_session_alive() {
    let _quiet = quiet().await;
    let testbed = testbed().await;
    let token = testbed.issuer.token().client("idler").sign();
    let mut streams = Vec::new();
    for kind in Kind::SILENT {
        streams.push((testbed.open(kind, &token).await, token.clone()));
    }
    let start = std::time::Instant::now();
    until("they live for longer than the idle limit", async || {
        testbed.get("/me").bearer(&token).await.passes();
        assert!(streams.iter().all(|(stream, _)| stream.is_open()), "{:?}", testbed.envoy.access_log());
        (start.elapsed() > LONGER_THAN_IDLE).then_some(())
    })
    .await;
    // No further requests follow.
    all_are_cut(&mut streams).await;
    all_were_cut_for(&testbed, "session_idle_timeout", &streams).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_request_gets_a_real_answer_when_its_session_ends() {
    let testbed = testbed().await;
    let [poll, poll_h2, rpc] = [(); 3].map(|()| testbed.issuer.token().sign());
    let call = |token: &Token| testbed.get("/stream/pending").bearer(token);
    let first = tokio::spawn(call(&poll).try_send());
    let second = tokio::spawn(call(&poll_h2).http2().try_send());
    let revoked = async {
        until("all are pending", async || (testbed.upstream.streams() == 3).then_some(())).await;
        for token in [&poll, &poll_h2, &rpc] {
            testbed.service.admin().revoke(&token.session).await;
        }
    };
    let (rpc, ()) = tokio::join!(testbed.wait_for_rpc(&rpc), revoked);
    for answer in [first, second] {
        let answer = answer.await.expect("no panic").expect("an answer");
        answer.refused(401, "session_revoked");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(answer.header("www-authenticate").contains("error=\"invalid_token\""), "{answer:?}");
    }
    assert_eq!((rpc.status, rpc.text.contains("session_revoked")), (16, true), "{rpc:?}");
    is_well(&testbed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_request_whose_token_expires_is_answered_with_that() {
    let testbed = testbed().await;
    let token = testbed.issuer.token().expires_in(3).sign();
    let answer = testbed.get("/stream/pending").bearer(&token).await;
    answer.refused(401, "token_expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_revocation_falls_between_the_verdict_and_the_follow() {
    const ROUNDS: usize = 120;
    let testbed = std::sync::Arc::new(testbed().await);
    let mut refusals = 0;
    for round in 0..ROUNDS {
        let token = testbed.issuer.token().sign();
        // The service must know the session to revoke it.
        testbed.get("/me").bearer(&token).await.passes();
        let kind = Kind::FLOWING[round % Kind::FLOWING.len()];
        let (opened, ()) = tokio::join!(
            testbed.try_open(kind, "www.example.com", &token),
            revoke_soon(&testbed, &token, Duration::from_micros(round as u64 * 50)),
        );
        match opened {
            Ok(mut stream) => drop(stream.ended().await),
            Err(_) => refusals += 1,
        }
    }
    println!("{refusals} of {ROUNDS} streams were refused, the others were opened and cut");
    is_well(&testbed).await;
}

/// Revokes after a pause that differs from round to round, so that the rounds cover every moment of the opening.
async fn revoke_soon(testbed: &Testbed, token: &Token, pause: Duration) {
    tokio::time::sleep(pause).await;
    testbed.service.admin().revoke(&token.session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_followed_again_when_the_session_service_comes_back() {
    let testbed = testbed().await;
    let mut streams = one_of_each(&testbed, &Kind::FLOWING, || testbed.issuer.token()).await;
    let mut bystanders = one_of_each(&testbed, &Kind::FLOWING, || testbed.issuer.token()).await;
    // First uses are written asynchronously; a graceful stop loses none of them.
    assert!(testbed.service.terminate().await.success());
    testbed.service.restart().await;
    all_flow(&mut streams).await;
    for (stream, token) in &mut streams {
        testbed.service.admin().revoke(&token.session).await;
        stream.is_cut().await;
    }
    all_flow(&mut bystanders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_nobody_reads_is_cut_as_well() {
    let testbed = testbed().await;
    let tokens = [(); 2].map(|()| testbed.issuer.token().sign());
    let mut stalled = Vec::new();
    for (token, http2) in tokens.iter().zip([false, true]) {
        let call = testbed.client().get("/stream/download").bearer(token);
        let call = if http2 { call.http2() } else { call };
        stalled.push(call.begin().await.expect("an answer"));
    }
    for token in &tokens {
        testbed.service.admin().revoke(&token.session).await;
    }
    until("the upstream is rid of them", async || (testbed.upstream.streams() == 0).then_some(())).await;
    for response in stalled {
        Stream::of(response).is_cut().await;
    }
}
