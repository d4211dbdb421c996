//! When the tokens of open requests are introspected again.
//!
//! An endpoint reports no end of a session by itself. A token is therefore asked about again before its last answer is
//! 30 s old, and again every two seconds while there is no answer. All open requests of one token on one rule share a
//! review.

use crate::{
    authorize::{follows::FollowId, question::Question},
    time::Monotonic,
};
use std::collections::HashMap;

/// The age of an answer at which the next one is asked for.
const ASK_AFTER_MS: u64 = 20_000;

/// The age of an answer from which on it says nothing any more.
pub(super) const ANSWER_MS_MAX: u64 = 30_000;

/// The delay before a question without an answer is asked again.
const RETRY_MS: u64 = 2_000;

/// The interval between two checks.
const CHECK_MS: u64 = 100;

/// The reviews of one worker.
#[derive(Default)]
pub(super) struct Reviews {
    open: HashMap<FollowId, Review>,
    checked_at: Monotonic,
}

/// The review of one token on one rule.
struct Review {
    question: Question,
    /// When the last answer arrived; at first, when the requests were released.
    answered_at: Monotonic,
    /// When to ask next; `None` while a question is open.
    ask_at: Option<Monotonic>,
    /// Whether it was reported that the last answer is too old.
    is_silent: bool,
}

/// What a check has found.
#[derive(Default)]
pub(super) struct Checked {
    /// The questions to ask now.
    pub(super) due: Vec<(FollowId, Question)>,
    /// The follows whose last answer has become too old.
    pub(super) silent: Vec<FollowId>,
}

impl Reviews {
    /// Begins the review of a follow, unless it has one.
    pub(super) fn begin(&mut self, id: FollowId, question: Question, now: Monotonic) {
        let ask_at = Some(now.after(ASK_AFTER_MS));
        self.open.entry(id).or_insert(Review { question, answered_at: now, ask_at, is_silent: false });
    }

    /// What is to be done now. At most `room` questions are returned; the others are due at the next check. Reviews of
    /// follows that are not open any more are dropped.
    pub(super) fn check(&mut self, now: Monotonic, room: usize, is_open: impl Fn(FollowId) -> bool) -> Checked {
        let mut checked = Checked::default();
        if now.since(self.checked_at) < CHECK_MS {
            return checked;
        }
        self.checked_at = now;
        self.open.retain(|id, _| is_open(*id));
        for (id, review) in &mut self.open {
            if !review.is_silent && review.answered_at.after(ANSWER_MS_MAX) <= now {
                review.is_silent = true;
                checked.silent.push(*id);
            }
            if review.ask_at.is_some_and(|at| at <= now) && checked.due.len() < room {
                review.ask_at = None;
                checked.due.push((*id, review.question.clone()));
            }
        }
        checked
    }

    /// A question was answered.
    pub(super) fn answered(&mut self, id: FollowId, now: Monotonic) {
        if let Some(review) = self.open.get_mut(&id) {
            review.answered_at = now;
            review.ask_at = Some(now.after(ASK_AFTER_MS));
            review.is_silent = false;
        }
    }

    /// A question was not answered.
    pub(super) fn unanswered(&mut self, id: FollowId, now: Monotonic) {
        if let Some(review) = self.open.get_mut(&id) {
            review.ask_at = Some(now.after(RETRY_MS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorize::fixtures::{introspecting, principal, question};

    fn begun() -> Reviews {
        let policy = introspecting();
        let question = question(&principal(&policy, &["read"]), 3, "GET");
        let mut reviews = Reviews::default();
        for id in 0..3 {
            reviews.begin(FollowId(id), question.clone(), Monotonic(0));
        }
        reviews
    }

    fn check(reviews: &mut Reviews, now_ms: u64, room: usize) -> (usize, usize) {
        let checked = reviews.check(Monotonic(now_ms), room, |_| true);
        (checked.due.len(), checked.silent.len())
    }

    #[test]
    fn a_token_is_asked_about_before_its_answer_is_too_old_and_again_until_there_is_one() {
        let mut reviews = begun();
        assert_eq!(check(&mut reviews, 19_999, 9), (0, 0));
        assert_eq!(check(&mut reviews, 20_100, 9), (3, 0));
        assert_eq!(check(&mut reviews, 20_200, 9), (0, 0), "the questions are open");
        (0..3).for_each(|id| reviews.unanswered(FollowId(id), Monotonic(20_300)));
        assert_eq!(check(&mut reviews, 22_200, 9), (0, 0));
        assert_eq!(check(&mut reviews, 22_300, 9), (3, 0));
        reviews.answered(FollowId(1), Monotonic(22_400));
        assert_eq!(check(&mut reviews, 30_000, 9), (0, 2));
        assert_eq!(check(&mut reviews, 40_000, 9), (0, 0), "said once");
        assert_eq!(check(&mut reviews, 42_400, 9), (1, 0));
        assert_eq!(check(&mut reviews, 52_400, 9), (0, 1), "an open question is no answer");
    }

    #[test]
    fn no_more_are_asked_at_a_time_than_there_is_room_for() {
        let mut reviews = begun();
        assert_eq!(check(&mut reviews, 20_000, 2), (2, 0));
        assert_eq!(check(&mut reviews, 20_100, 0), (0, 0));
        assert_eq!(check(&mut reviews, 20_200, 2), (1, 0));
    }

    #[test]
    fn requests_that_have_ended_are_not_asked_about() {
        let mut reviews = begun();
        let checked = reviews.check(Monotonic(20_000), 9, |id| id.0 == 2);
        assert_eq!((checked.due.len(), reviews.open.len()), (1, 1));
    }
}
