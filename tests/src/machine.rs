//! Which tests may run at the same time. The test runner starts as many of them at once as the machine has cores.
//!
//! Most tests hold no matter what else runs. A test that loads the machine calls [`busy`] first, and a test whose result
//! depends on how fast something happens calls [`quiet`] first: the two kinds never overlap. Each test takes one guard,
//! before it starts a [`crate::Testbed`], so no two of them can wait for each other.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

static LOAD: RwLock<()> = RwLock::const_new(());

/// Permission to load the machine: no other loading test runs while it is held, and no timing test.
#[must_use = "the permission ends when it is dropped"]
pub struct Busy {
    _guard: RwLockWriteGuard<'static, ()>,
}

/// Protection for a test that measures time: no loading test runs while it is held, but other timing tests may.
#[must_use = "the protection ends when it is dropped"]
pub struct Quiet {
    _guard: RwLockReadGuard<'static, ()>,
}

/// Waits until this test may load the machine.
pub async fn busy() -> Busy {
    Busy { _guard: LOAD.write().await }
}

/// Waits until no test loads the machine.
pub async fn quiet() -> Quiet {
    Quiet { _guard: LOAD.read().await }
}
