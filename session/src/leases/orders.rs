//! Every order of a few steps of the model, and many orders of many. Each planted bug must be found.

use super::model::{Bug, During, LENGTH, SLOW, Step, World};
use proptest::prelude::*;

const BUGS: [Bug; 8] = [
    Bug::JudgesBeforeItEnters,
    Bug::GivesWhatHasChangedSince,
    Bug::FreesWhatAClosedStreamHas,
    Bug::TakesATakeBackForCarriedOut,
    Bug::LetsStandWhatHasChanged,
    Bug::HidesThatItDoesNotExtend,
    Bug::CountsLess,
    Bug::ForgetsAMarkDuringAReview,
];

/// The steps of the enumeration, of one stream, one lease and one session.
const STEPS: [Step; 15] = [
    Step::Ask(0, 1, 0),
    Step::Up(0, During::Nothing),
    Step::Up(0, During::BeforeTheJudge),
    Step::Up(0, During::AfterTheJudge),
    Step::Down(0),
    Step::Change(0),
    Step::Touch(0),
    Step::Review(0, During::Nothing),
    Step::Review(0, During::AfterTheJudge),
    Step::Renew(0),
    Step::CloseAtService(0),
    Step::CloseAtFilter(0),
    Step::Wait(LENGTH / 2),
    Step::Wait(LENGTH / 2 + SLOW + 2),
    Step::Sweep,
];

/// What every order begins with: something is asked for; or there is a lease, half of which is over; or it is also being
/// renewed.
const BEGINNINGS: [&[Step]; 3] = [
    &[Step::Ask(0, 1, 0)],
    &[Step::Ask(0, 1, 0), Step::Up(0, During::Nothing), Step::Down(0), Step::Wait(LENGTH / 2)],
    &[Step::Ask(0, 1, 0), Step::Up(0, During::Nothing), Step::Down(0), Step::Wait(LENGTH / 2), Step::Renew(0)],
];

/// Plays every order of that many steps; whether one fails is a panic.
fn every_order(bug: Bug, steps: u32) {
    let base = STEPS.len();
    for (beginning, number) in BEGINNINGS.iter().flat_map(|beginning| (0..base.pow(steps)).map(move |n| (beginning, n)))
    {
        let mut world = World::new(bug, 1, 1);
        beginning.iter().for_each(|step| world.step(*step));
        let mut rest = number;
        for _ in 0..steps {
            world.step(STEPS[rest % base]);
            rest /= base;
        }
        world.ends();
    }
}

#[test]
fn in_every_order_of_a_few_steps_no_filter_decides_by_what_an_answered_change_concerns() {
    every_order(Bug::None, 4);
}

#[test]
fn every_planted_bug_is_found() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let missed: Vec<Bug> =
        BUGS.into_iter().filter(|bug| std::panic::catch_unwind(|| every_order(*bug, 4)).is_ok()).collect();
    std::panic::set_hook(hook);
    assert_eq!(missed, []);
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let during =
        || prop_oneof![4 => Just(During::Nothing), 1 => Just(During::BeforeTheJudge), 1 => Just(During::AfterTheJudge)];
    let step = prop_oneof![
        6 => (0..2_usize, 0..3_u32, 0..2_usize).prop_map(|(stream, lease, session)| Step::Ask(stream, lease, session)),
        8 => (0..2_usize, during()).prop_map(|(stream, during)| Step::Up(stream, during)),
        8 => (0..2_usize).prop_map(Step::Down),
        2 => (0..2_usize).prop_map(Step::Change),
        1 => (0..2_usize).prop_map(Step::Touch),
        4 => (0..2_usize, during()).prop_map(|(stream, during)| Step::Review(stream, during)),
        4 => (0..2_usize).prop_map(Step::Renew),
        1 => (0..2_usize).prop_map(Step::CloseAtService),
        1 => (0..2_usize).prop_map(Step::CloseAtFilter),
        3 => (1..LENGTH).prop_map(Step::Wait),
        1 => Just(Step::Sweep),
    ];
    proptest::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn in_many_orders_of_many_steps_none_does(steps in steps()) {
        let mut world = World::new(Bug::None, 2, 2);
        steps.into_iter().for_each(|step| world.step(step));
        world.ends();
    }
}
