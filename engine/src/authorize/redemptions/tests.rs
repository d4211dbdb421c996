use super::*;
use crate::token::Reason;
use proptest::prelude::*;

const TIMEOUT_MS: u64 = 200;
const TOKEN_BYTES_MAX: usize = 1_000;

fn redemptions() -> Redemptions {
    Redemptions::new(64 << 10, TOKEN_BYTES_MAX, TIMEOUT_MS)
}

fn handle(number: u32) -> HandleDigest {
    HandleDigest::of(&format!("{number:040}")).unwrap()
}

fn token(text: &str) -> Redeemed {
    Redeemed::Token(TokenText(text.into()))
}

fn sent(redemptions: &mut Redemptions, stream: u32) -> Vec<(u32, Vec<u8>)> {
    let mut message = wire::FilterMessage::default();
    redemptions.put(stream, &mut message);
    message.redemptions.into_iter().map(|redemption| (redemption.id, redemption.handle)).collect()
}

/// A handle whose token is to be renewed after a second.
fn known(number: u32) -> Redemptions {
    let mut redemptions = redemptions();
    assert!(redemptions.ask(handle(number), Monotonic(0)));
    let id = sent(&mut redemptions, 1)[0].0;
    assert_eq!(redemptions.redeemed(1, id, &token("t1"), 1_000, Monotonic(0)), Some(handle(number)));
    redemptions
}

fn text(redemptions: &mut Redemptions, number: u32, ms: u64) -> Option<String> {
    redemptions.token(handle(number), Monotonic(ms)).map(|token| token.0.to_string())
}

#[test]
fn a_handle_is_asked_about_once_and_everybody_who_waits_is_told() {
    let mut redemptions = redemptions();
    for context in 1..=3 {
        assert!(redemptions.ask(handle(7), Monotonic(0)));
        assert!(redemptions.wait(context, handle(7), Monotonic(TIMEOUT_MS)));
    }
    assert!(redemptions.is_busy());
    let asked = sent(&mut redemptions, 1);
    assert_eq!(asked, [(0, handle(7).to_wire())]);
    assert_eq!(sent(&mut redemptions, 1), []);
    redemptions.leave(2);
    assert_eq!(redemptions.redeemed(1, 0, &token("t"), 1_000, Monotonic(5)), Some(handle(7)));
    assert_eq!(redemptions.take_waiting(handle(7)), [1, 3]);
    assert!(!redemptions.is_busy());
    assert_eq!(redemptions.expire(Monotonic(u64::MAX)), (vec![], 0));
}

#[test]
fn the_next_token_is_asked_for_ahead_while_the_last_one_is_used() {
    let mut redemptions = known(7);
    assert_eq!(text(&mut redemptions, 7, 999).as_deref(), Some("t1"));
    assert_eq!(sent(&mut redemptions, 1), []);
    assert_eq!(text(&mut redemptions, 7, 1_000).as_deref(), Some("t1"));
    let asked = sent(&mut redemptions, 1);
    assert_eq!(asked.len(), 1);
    assert_eq!(text(&mut redemptions, 7, 1_001).as_deref(), Some("t1"));
    assert_eq!(sent(&mut redemptions, 1), []);
    redemptions.redeemed(1, asked[0].0, &token("t2"), 1_000, Monotonic(1_010));
    assert_eq!(text(&mut redemptions, 7, 2_009).as_deref(), Some("t2"));
    assert_eq!(sent(&mut redemptions, 1), []);
}

#[test]
fn what_cannot_be_renewed_stays_and_is_asked_for_again_after_a_while() {
    let mut redemptions = known(7);
    text(&mut redemptions, 7, 1_000);
    let id = sent(&mut redemptions, 1)[0].0;
    redemptions.redeemed(1, id, &Redeemed::Unavailable, 0, Monotonic(1_000));
    assert_eq!(text(&mut redemptions, 7, 1_000 + RENEW_AGAIN_MS - 1).as_deref(), Some("t1"));
    assert_eq!(sent(&mut redemptions, 1), []);
    text(&mut redemptions, 7, 1_000 + RENEW_AGAIN_MS);
    assert_eq!(sent(&mut redemptions, 1).len(), 1);
}

#[test]
fn a_handle_that_is_refused_is_forgotten_and_asked_about_anew() {
    let mut redemptions = known(7);
    text(&mut redemptions, 7, 1_000);
    let id = sent(&mut redemptions, 1)[0].0;
    redemptions.redeemed(1, id, &Redeemed::Refused(Reason::Handle.into()), 0, Monotonic(1_000));
    assert_eq!(text(&mut redemptions, 7, 1_000), None);
    assert!(redemptions.ask(handle(7), Monotonic(1_000)));
    assert_eq!(sent(&mut redemptions, 1).len(), 1);
}

#[test]
fn a_token_that_is_too_long_is_not_kept() {
    let mut redemptions = redemptions();
    redemptions.ask(handle(7), Monotonic(0));
    let id = sent(&mut redemptions, 1)[0].0;
    let long = token(&"x".repeat(TOKEN_BYTES_MAX + 1));
    assert_eq!(redemptions.redeemed(1, id, &long, 1_000, Monotonic(0)), Some(handle(7)));
    assert_eq!(text(&mut redemptions, 7, 0), None);
}

#[test]
fn an_answer_counts_once_and_only_on_the_stream_where_it_was_asked_for() {
    let mut redemptions = redemptions();
    redemptions.ask(handle(7), Monotonic(0));
    assert_eq!(redemptions.redeemed(1, 0, &token("t"), 0, Monotonic(0)), None, "nothing was sent");
    sent(&mut redemptions, 1);
    assert_eq!(redemptions.redeemed(2, 0, &token("t"), 0, Monotonic(0)), None, "another stream");
    assert_eq!(redemptions.redeemed(1, 1, &token("t"), 0, Monotonic(0)), None, "another id");
    assert!(redemptions.redeemed(1, 0, &token("t"), 0, Monotonic(0)).is_some());
    assert_eq!(redemptions.redeemed(1, 0, &token("u"), 0, Monotonic(0)), None, "answered before");
}

#[test]
fn what_is_lost_with_a_stream_is_asked_about_once_more() {
    let mut redemptions = redemptions();
    redemptions.ask(handle(7), Monotonic(0));
    redemptions.ask(handle(8), Monotonic(1));
    sent(&mut redemptions, 1);
    assert!(redemptions.are_owed(1) && !redemptions.are_owed(2));
    redemptions.lost(1);
    assert!(!redemptions.are_owed(1));
    let again = sent(&mut redemptions, 2);
    assert_eq!(
        again.iter().map(|(_, handle)| handle.clone()).collect::<Vec<_>>(),
        [handle(7).to_wire(), handle(8).to_wire()]
    );
    redemptions.lost(2);
    assert_eq!(sent(&mut redemptions, 3), [], "both have been tried twice");
    assert!(redemptions.ask(handle(7), Monotonic(2)), "the next request begins anew");
    assert_eq!(sent(&mut redemptions, 3).len(), 1);
}

#[test]
fn nobody_waits_beyond_the_deadline_and_a_late_answer_is_for_the_next_one() {
    let mut redemptions = redemptions();
    redemptions.ask(handle(7), Monotonic(0));
    redemptions.wait(1, handle(7), Monotonic(TIMEOUT_MS));
    sent(&mut redemptions, 1);
    assert_eq!(redemptions.expire(Monotonic(TIMEOUT_MS - 1)), (vec![], 0));
    assert_eq!(redemptions.expire(Monotonic(TIMEOUT_MS)), (vec![1], 0));
    assert!(!redemptions.is_busy());
    assert!(redemptions.ask(handle(7), Monotonic(TIMEOUT_MS)));
    assert_eq!(sent(&mut redemptions, 1), [], "it is still being asked about");
    redemptions.redeemed(1, 0, &token("t"), 1_000, Monotonic(TIMEOUT_MS + 1));
    assert!(redemptions.take_waiting(handle(7)).is_empty());
    assert_eq!(text(&mut redemptions, 7, TIMEOUT_MS + 1).as_deref(), Some("t"));
}

#[test]
fn a_service_that_never_answers_is_asked_again_in_the_end() {
    let mut redemptions = redemptions();
    redemptions.ask(handle(7), Monotonic(0));
    sent(&mut redemptions, 1);
    assert_eq!(redemptions.expire(Monotonic(ANSWER_MS_MAX - 1)), (vec![], 0));
    assert_eq!(redemptions.expire(Monotonic(ANSWER_MS_MAX)), (vec![], 1));
    assert!(redemptions.ask(handle(7), Monotonic(ANSWER_MS_MAX)));
    assert_eq!(sent(&mut redemptions, 1), [(1, handle(7).to_wire())]);
}

#[test]
fn handles_that_anybody_made_up_leave_room_for_those_that_are_known() {
    let mut redemptions = known(7);
    let strangers = 100..100 + u32::try_from(ASKED_MAX).unwrap();
    for number in strangers.clone() {
        assert!(redemptions.ask(handle(number), Monotonic(1)));
    }
    assert!(!redemptions.ask(handle(1), Monotonic(1)));
    assert!(redemptions.ask(handle(7), Monotonic(1)));
    // A message has as many as the contract says.
    assert_eq!(sent(&mut redemptions, 1).len(), REDEMPTIONS_MAX);
    assert_eq!(sent(&mut redemptions, 1).len(), REDEMPTIONS_MAX);
    assert_eq!(sent(&mut redemptions, 1).len(), ASKED_MAX + 1 - 2 * REDEMPTIONS_MAX);
    // One handle takes no more than its share, and all of them no more than theirs.
    let mut context = 0;
    let mut wait = |redemptions: &mut Redemptions, number| {
        context += 1;
        redemptions.wait(context, handle(number), Monotonic(TIMEOUT_MS))
    };
    let mut waiting = 0;
    for number in strangers {
        for _ in 0..WAITING_OF_ONE_MAX {
            waiting += usize::from(wait(&mut redemptions, number));
        }
        if waiting == WAITING_OF_ONE_MAX {
            assert!(!wait(&mut redemptions, number));
        }
    }
    assert_eq!(waiting, WAITING_MAX);
    assert!(wait(&mut redemptions, 7));
    // Nothing of it is left.
    let (late, silent) = redemptions.expire(Monotonic(1 + ANSWER_MS_MAX));
    assert_eq!((late.len(), silent), (WAITING_MAX + 1, ASKED_MAX as u64 + 1));
    assert!(redemptions.ask(handle(1), Monotonic(1 + ANSWER_MS_MAX)) && wait(&mut redemptions, 1));
}

#[test]
fn tokens_are_kept_within_their_bytes() {
    let mut redemptions = redemptions();
    for number in 0..1_000 {
        redemptions.ask(handle(number), Monotonic(0));
        let id = sent(&mut redemptions, 1)[0].0;
        redemptions.redeemed(1, id, &token(&"x".repeat(900)), 1_000, Monotonic(0));
    }
    assert!((30..80).contains(&redemptions.held.len()), "{}", redemptions.held.len());
    assert!(text(&mut redemptions, 999, 0).is_some() && text(&mut redemptions, 0, 0).is_none());
}

#[derive(Debug, Clone)]
enum Op {
    Request(u32),
    Leave(usize),
    Put,
    Answer(usize, u8),
    Lose,
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..6_u32).prop_map(Op::Request),
        1 => (0..8_usize).prop_map(Op::Leave),
        3 => Just(Op::Put),
        3 => ((0..8_usize), (0..3_u8)).prop_map(|(which, what)| Op::Answer(which, what)),
        1 => Just(Op::Lose),
        2 => (1..2_000_u64).prop_map(Op::Pass),
    ]
}

proptest! {
    /// Every request that waits is told, leaves or reaches its deadline, once; and all room is given back.
    #[test]
    fn nobody_is_forgotten(ops in prop::collection::vec(op(), 0..60)) {
        let mut redemptions = redemptions();
        let (mut now, mut context, mut stream) = (0, 0, 1);
        let mut waiting: Vec<(u32, u32, u64)> = Vec::new();
        let mut asked: Vec<(u32, Vec<u8>)> = Vec::new();
        for op in ops {
            match op {
                Op::Request(number) => {
                    if redemptions.token(handle(number), Monotonic(now)).is_none() && redemptions.ask(handle(number), Monotonic(now)) {
                        context += 1;
                        prop_assert!(redemptions.wait(context, handle(number), Monotonic(now + TIMEOUT_MS)));
                        waiting.push((context, number, now + TIMEOUT_MS));
                    }
                }
                Op::Leave(which) if which < waiting.len() => {
                    let (context, ..) = waiting.remove(which);
                    redemptions.leave(context);
                }
                Op::Put => asked.extend(sent(&mut redemptions, stream)),
                Op::Answer(which, what) if which < asked.len() => {
                    let (id, digest) = asked.remove(which);
                    let answer = match what {
                        0 => token("t"),
                        1 => Redeemed::Unavailable,
                        _ => Redeemed::Refused(Reason::Handle.into()),
                    };
                    if let Some(found) = redemptions.redeemed(stream, id, &answer, 500, Monotonic(now)) {
                        prop_assert_eq!(found.to_wire(), digest);
                        let mut told = redemptions.take_waiting(found);
                        let mut expected: Vec<u32> =
                            waiting.iter().filter(|(_, number, _)| handle(*number) == found).map(|(context, ..)| *context).collect();
                        told.sort_unstable();
                        expected.sort_unstable();
                        prop_assert_eq!(&told, &expected);
                        waiting.retain(|(context, ..)| !told.contains(context));
                    }
                }
                Op::Lose => {
                    redemptions.lost(stream);
                    asked.clear();
                    stream += 1;
                }
                Op::Pass(ms) => {
                    now += ms;
                    let (late, _) = redemptions.expire(Monotonic(now));
                    let expected: Vec<u32> = waiting.iter().filter(|(.., deadline)| *deadline <= now).map(|(context, ..)| *context).collect();
                    prop_assert_eq!(&late, &expected);
                    waiting.retain(|(.., deadline)| *deadline > now);
                }
                Op::Leave(_) | Op::Answer(..) => {}
            }
            prop_assert_eq!(redemptions.is_busy(), !waiting.is_empty());
        }
        redemptions.expire(Monotonic(now + 10 * ANSWER_MS_MAX));
        prop_assert!(redemptions.asked.is_empty() && redemptions.waiting.is_empty());
        prop_assert!(redemptions.asked_room.is_empty() && redemptions.waiting_room.is_empty());
    }
}
