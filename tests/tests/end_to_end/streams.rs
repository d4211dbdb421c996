//! Open streams, each kind with a real client library: released, followed, and cut when their session ends.

use portcullis_tests::{Kind, Stream, Token, TokenBuilder, World, busy, now_s, policy, quiet, until};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

/// The idle limit of [`limits`], and how long it takes for a stream that is not idle to prove it.
const IDLE: Duration = Duration::from_secs(2);
const LONGER_THAN_IDLE: Duration = Duration::from_secs(7);

fn limits(config: &mut Value) {
    config["access"] = json!([
        {"name": "idle", "when": {"client": ["idler"]}, "idle": format!("{}s", IDLE.as_secs())},
        {"name": "short", "when": {"client": ["short"]}, "absolute": "3s"},
        {"name": "all", "absolute": "8h", "idle": "30m"},
    ]);
}

async fn world() -> World {
    let world = World::builder().policy(policy::streams()).session(limits).start().await;
    world.settled().await;
    world
}

/// Nothing panicked in the filter, and no stream is left over at the upstream.
async fn is_well(world: &World) {
    assert_eq!(world.envoy.vm_reloads().await, 0, "{}", world.envoy.log());
    until("the upstream knows that the streams have ended", async || (world.upstream.streams() == 0).then_some(()))
        .await;
}

/// One stream of every kind, each with a session of its own.
async fn one_of_each(world: &World, kinds: &[Kind], token: impl Fn() -> TokenBuilder) -> Vec<(Stream, Token)> {
    let mut streams = Vec::new();
    for kind in kinds {
        let token = token().sign();
        streams.push((world.open(*kind, &token).await, token));
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

/// The access log's lines of these sessions' streams, and the counters of cuts, say why.
async fn all_were_cut_for(world: &World, code: &str, streams: &[(Stream, Token)]) {
    let sessions: BTreeSet<&str> = streams.iter().map(|(_, token)| token.session.as_str()).collect();
    let field = format!("code={code} ");
    until(&format!("the access log says {field}of each stream"), async || {
        let lines = world.envoy.access_log();
        let said = lines.iter().filter_map(|line| line["portcullis"].as_str()).filter(|said| said.contains(&field));
        let said: Vec<&str> = said.collect();
        sessions.iter().all(|id| said.iter().any(|said| said.contains(id))).then_some(())
    })
    .await;
    until("the cuts are counted", async || {
        let cuts = world.envoy.stat(&format!("portcullis.cuts.code.{code}.")).await;
        (cuts == streams.len() as u64).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_released_and_flows_until_its_client_leaves() {
    let world = world().await;
    let mut streams = one_of_each(&world, &Kind::FLOWING, || world.issuer.token()).await;
    for _ in 0..3 {
        all_flow(&mut streams).await;
    }
    drop(streams);
    is_well(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_refused_like_any_request() {
    let world = world().await;
    let revoked = world.issuer.token().sign();
    world.get("/me").bearer(&revoked).await.passes();
    world.service.admin().revoke(&revoked.session).await;
    let poor = world.issuer.token().scopes("customers:read").sign();
    for kind in Kind::FLOWING {
        // UNAUTHENTICATED and PERMISSION_DENIED where the answer is gRPC's.
        let statuses = if kind == Kind::Rpc { [16, 7] } else { [401, 403] };
        for (token, status, code) in
            [(&revoked, statuses[0], "session_revoked"), (&poor, statuses[1], "insufficient_scope")]
        {
            let refused = world.try_open(kind, "www.example.com", token).await.err().expect("a refusal");
            assert_eq!(refused.status, status, "{kind:?}: {refused:?}");
            // A client library may drop the body of a refused upgrade.
            assert!(kind == Kind::WebSocket || refused.text.contains(code), "{kind:?}: {refused:?}");
        }
    }
    assert_eq!(world.upstream.streams(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_a_session_cuts_its_streams_and_no_others() {
    let world = world().await;
    let mut bystanders = one_of_each(&world, &Kind::FLOWING, || world.issuer.token()).await;
    let mut streams = one_of_each(&world, &Kind::FLOWING, || world.issuer.token()).await;
    all_flow(&mut streams).await;
    for (stream, token) in &mut streams {
        world.service.admin().revoke(&token.session).await;
        stream.is_cut().await;
    }
    all_were_cut_for(&world, "session_revoked", &streams).await;
    all_flow(&mut bystanders).await;
    drop((streams, bystanders));
    is_well(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_streams_of_a_session_are_cut_together_on_every_worker() {
    let world = world().await;
    let token = world.issuer.token().sign();
    let mut streams = Vec::new();
    for _ in 0..4 {
        for kind in Kind::FLOWING {
            streams.push((world.open(kind, &token).await, token.clone()));
        }
    }
    all_flow(&mut streams).await;
    world.service.admin().revoke(&token.session).await;
    all_are_cut(&mut streams).await;
    all_were_cut_for(&world, "session_revoked", &streams).await;
    drop(streams);
    is_well(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_over_one_h2_connection_are_cut_one_by_one() {
    let world = world().await;
    let client = world.client();
    let [ended, lives] = [world.issuer.token().sign(), world.issuer.token().sign()];
    let begin = async |token: &Token| {
        let call = client.get("/stream/events").bearer(token).http2();
        Stream::of(call.begin().await.expect("an answer"))
    };
    let (mut first, mut second) = (begin(&ended).await, begin(&lives).await);
    first.flows().await;
    world.service.admin().revoke(&ended.session).await;
    first.is_cut().await;
    second.flows().await;
    let answer = client.get("/me").bearer(&lives).http2().await;
    answer.passes();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_cut_when_its_route_s_scope_is_lost_and_only_then() {
    let world = world().await;
    let rich = || world.issuer.token().scopes("orders:read customers:read");
    let mut streams = one_of_each(&world, &Kind::FLOWING, rich).await;
    let admin = world.service.admin();
    for (stream, token) in &mut streams {
        admin.narrow(&token.session, &["orders:read"]).await;
        stream.flows().await;
        admin.narrow(&token.session, &["customers:read"]).await;
        stream.is_cut().await;
    }
    all_were_cut_for(&world, "insufficient_scope", &streams).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_a_subject_cuts_every_stream_of_it() {
    let world = world().await;
    let mut bystanders = one_of_each(&world, &Kind::FLOWING, || world.issuer.token()).await;
    let mut streams = one_of_each(&world, &Kind::FLOWING, || world.issuer.token().subject("bert")).await;
    let revocation = json!({"issuer": world.issuer.name, "subject": "bert"});
    world.service.admin().revoke_all(&revocation).await;
    all_are_cut(&mut streams).await;
    all_were_cut_for(&world, "session_revoked", &streams).await;
    all_flow(&mut bystanders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_does_not_outlive_its_token() {
    let world = world().await;
    let mut streams = one_of_each(&world, &Kind::FLOWING, || world.issuer.token().expires_in(4)).await;
    all_flow(&mut streams).await;
    all_are_cut(&mut streams).await;
    all_were_cut_for(&world, "token_expired", &streams).await;
    // The sessions live on: a client comes back with a token that was refreshed.
    for (_, token) in &streams {
        assert_eq!(world.session(token).await["state"], "active");
    }
}

/// Envoy starts its timer anew whenever the filter changes the period: were each refusal to do so, it would never go off.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refusals_keeps_no_stream_open_beyond_its_token() {
    let _busy = busy().await;
    let world = world().await;
    let revoked = world.issuer.token().sign();
    world.get("/me").bearer(&revoked).await.passes();
    world.service.admin().revoke(&revoked.session).await;
    let mut streams = one_of_each(&world, &Kind::FLOWING, || world.issuer.token().expires_in(4)).await;
    // One after the other, so that their worker waits for something and for nothing by turns.
    let call = world.get("/me").bearer(&revoked);
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
    let world = World::with_policy(policy::outliving_streams()).await;
    world.settled().await;
    let mut streams = Vec::new();
    for kind in Kind::FLOWING {
        let token = world.issuer.token().expires_in(3).sign();
        streams.push((world.open_at(kind, "outlive.example.com", &token).await, token));
    }
    let expiry = now_s() + 3;
    until("the tokens have expired for seconds", async || (now_s() > expiry + 2).then_some(())).await;
    all_flow(&mut streams).await;
    for (stream, token) in &mut streams {
        world.service.admin().revoke(&token.session).await;
        stream.is_cut().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_absolute_lifetime_cuts_a_busy_stream() {
    let world = world().await;
    let mut streams = one_of_each(&world, &Kind::FLOWING, || world.issuer.token().client("short")).await;
    for (stream, _) in &mut streams {
        until("its lifetime passes", async || {
            stream.speak();
            (!stream.is_open()).then_some(())
        })
        .await;
    }
    all_are_cut(&mut streams).await;
    all_were_cut_for(&world, "session_lifetime_exceeded", &streams).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_is_idle() {
    let world = world().await;
    let mut streams = one_of_each(&world, &Kind::SILENT, || world.issuer.token().client("idler")).await;
    all_are_cut(&mut streams).await;
    all_were_cut_for(&world, "session_idle_timeout", &streams).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_in_either_direction_are_activity() {
    let _quiet = quiet().await;
    let world = world().await;
    let mut streams = one_of_each(&world, &Kind::FLOWING, || world.issuer.token().client("idler")).await;
    let start = std::time::Instant::now();
    until("they live for longer than the idle limit", async || {
        for (stream, _) in &streams {
            stream.speak();
            assert!(stream.is_open(), "{:?}", world.envoy.access_log());
        }
        (start.elapsed() > LONGER_THAN_IDLE).then_some(())
    })
    .await;
    for (_, token) in &streams {
        assert_eq!(world.session(token).await["state"], "active");
    }
    all_flow(&mut streams).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn background_bytes_are_no_activity() {
    let world = world().await;
    let mut streams = Vec::new();
    for kind in [Kind::EventsHttp1, Kind::EventsHttp2, Kind::DownloadHttp1] {
        // The first request of a session opens it, which is activity, whatever its route.
        let token = world.issuer.token().client("idler").sign();
        streams.push((world.open_at(kind, "background.example.com", &token).await, token));
    }
    all_are_cut(&mut streams).await;
    all_were_cut_for(&world, "session_idle_timeout", &streams).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_elsewhere_keep_a_silent_stream_s_session_alive() {
    let _quiet = quiet().await;
    let world = world().await;
    let token = world.issuer.token().client("idler").sign();
    let mut streams = Vec::new();
    for kind in Kind::SILENT {
        streams.push((world.open(kind, &token).await, token.clone()));
    }
    let start = std::time::Instant::now();
    until("they live for longer than the idle limit", async || {
        world.get("/me").bearer(&token).await.passes();
        assert!(streams.iter().all(|(stream, _)| stream.is_open()), "{:?}", world.envoy.access_log());
        (start.elapsed() > LONGER_THAN_IDLE).then_some(())
    })
    .await;
    // Nobody asks any more.
    all_are_cut(&mut streams).await;
    all_were_cut_for(&world, "session_idle_timeout", &streams).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_request_gets_a_real_answer_when_its_session_ends() {
    let world = world().await;
    let [poll, poll_h2, rpc] = [(); 3].map(|()| world.issuer.token().sign());
    let call = |token: &Token| world.get("/stream/pending").bearer(token);
    let first = tokio::spawn(call(&poll).try_send());
    let second = tokio::spawn(call(&poll_h2).http2().try_send());
    let revoked = async {
        until("all are pending", async || (world.upstream.streams() == 3).then_some(())).await;
        for token in [&poll, &poll_h2, &rpc] {
            world.service.admin().revoke(&token.session).await;
        }
    };
    let (rpc, ()) = tokio::join!(world.wait_for_rpc(&rpc), revoked);
    for answer in [first, second] {
        let answer = answer.await.expect("no panic").expect("an answer");
        answer.refused(401, "session_revoked");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(answer.header("www-authenticate").contains("error=\"invalid_token\""), "{answer:?}");
    }
    assert_eq!((rpc.status, rpc.text.contains("session_revoked")), (16, true), "{rpc:?}");
    is_well(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_request_whose_token_expires_is_told_so() {
    let world = world().await;
    let token = world.issuer.token().expires_in(3).sign();
    let answer = world.get("/stream/pending").bearer(&token).await;
    answer.refused(401, "token_expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_revocation_falls_between_the_verdict_and_the_follow() {
    const ROUNDS: usize = 120;
    let world = std::sync::Arc::new(world().await);
    let mut refusals = 0;
    for round in 0..ROUNDS {
        let token = world.issuer.token().sign();
        // Known to the service, so that it can be revoked.
        world.get("/me").bearer(&token).await.passes();
        let kind = Kind::FLOWING[round % Kind::FLOWING.len()];
        let (opened, ()) = tokio::join!(
            world.try_open(kind, "www.example.com", &token),
            revoke_soon(&world, &token, Duration::from_micros(round as u64 * 50)),
        );
        match opened {
            Ok(mut stream) => drop(stream.ended().await),
            Err(_) => refusals += 1,
        }
    }
    println!("{refusals} of {ROUNDS} streams were refused, the others were opened and cut");
    is_well(&world).await;
}

/// Revokes after a pause that differs from round to round, so that each moment of the opening is met.
async fn revoke_soon(world: &World, token: &Token, pause: Duration) {
    tokio::time::sleep(pause).await;
    world.service.admin().revoke(&token.session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_followed_again_when_the_session_service_comes_back() {
    let world = world().await;
    let mut streams = one_of_each(&world, &Kind::FLOWING, || world.issuer.token()).await;
    let mut bystanders = one_of_each(&world, &Kind::FLOWING, || world.issuer.token()).await;
    // First uses are written behind; a graceful end loses none of them.
    assert!(world.service.terminate().await.success());
    world.service.restart().await;
    all_flow(&mut streams).await;
    for (stream, token) in &mut streams {
        world.service.admin().revoke(&token.session).await;
        stream.is_cut().await;
    }
    all_flow(&mut bystanders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_nobody_reads_is_cut_as_well() {
    let world = world().await;
    let tokens = [(); 2].map(|()| world.issuer.token().sign());
    let mut stalled = Vec::new();
    for (token, http2) in tokens.iter().zip([false, true]) {
        let call = world.client().get("/stream/download").bearer(token);
        let call = if http2 { call.http2() } else { call };
        stalled.push(call.begin().await.expect("an answer"));
    }
    for token in &tokens {
        world.service.admin().revoke(&token.session).await;
    }
    until("the upstream is rid of them", async || (world.upstream.streams() == 0).then_some(())).await;
    for response in stalled {
        Stream::of(response).is_cut().await;
    }
}
