//! Grants for one request: which of them a question takes, and which of them an open request rests on.
//!
//! A question that is refused without such a grant, and would be released with it, names it ([`Once::Takes`]). The writer notes
//! it as used, which only the first of several questions achieves, at whatever replica; then the question is judged again with
//! what it has taken ([`Once::Took`]). A request that goes on is followed, and its follow rests on grants that were used on its
//! route ([`Once::Opened`]): no question does any more.

use super::{Compared, Required, Standing};
use crate::approvals::Grant;
use crate::intern::ScopeSet;
use crate::token::Token;
use portcullis_contract::Requirement;

/// What grants for one request mean to what is judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Once<'r> {
    /// Nothing.
    #[default]
    Ignored,
    /// It may take those that are open.
    Takes,
    /// It has taken these.
    Took(&'r [String]),
    /// It is a request that was released on this route before.
    Opened(&'r str),
}

/// What a question is released by.
pub(super) struct Pass {
    /// The token and its session, with these grants.
    pub(super) compared: Compared,
    /// Their ids.
    pub(super) grants: Vec<String>,
}

impl Once<'_> {
    fn counts(self, grant: &Grant) -> bool {
        match self {
            Self::Ignored => false,
            Self::Takes => grant.is_open(),
            Self::Took(ids) => grant.used.is_some() && ids.contains(&grant.id),
            Self::Opened(route) => grant.used.as_ref().is_some_and(|used| used.route == route),
        }
    }
}

impl Standing {
    /// What releases a question that is refused without grants for one request. One whose route does not require what they are
    /// about takes none: it stays refused.
    pub(super) fn pass(&self, token: (&Token, &ScopeSet), required: Required<'_>, now_ms: u64) -> Option<Pass> {
        let requirement = required.scopes.filter(|_| required.once != Once::Ignored)?;
        if self.compared.meets(token.0, requirement) {
            return None;
        }
        let counts = |grant: &Grant| grant.once && required.once.counts(grant);
        let live = self.session.live_grants(now_ms);
        let mut grants: Vec<String> =
            live.into_iter().filter(|(_, grant)| counts(grant)).map(|(_, grant)| grant.id).collect();
        let with = |ids: &[String]| {
            let counts = |grant: &Grant| !grant.once || ids.contains(&grant.id);
            let compared = Compared::counting(&self.session, token, now_ms, counts);
            Some(compared).filter(|compared| !compared.escalates && compared.meets(token.0, requirement))
        };
        let mut compared = (!grants.is_empty()).then(|| with(&grants)).flatten()?;
        if required.once == Once::Takes {
            // No more than it needs, and of those that do the same the oldest. There are few of them.
            for id in grants.clone().iter().rev() {
                let fewer: Vec<String> = grants.iter().filter(|other| *other != id).cloned().collect();
                if let Some(enough) = with(&fewer) {
                    (grants, compared) = (fewer, enough);
                }
            }
        }
        Some(Pass { compared, grants })
    }
}

impl Compared {
    /// Whether what is left of the token's scopes meets a requirement.
    fn meets(&self, token: &Token, requirement: &Requirement<String>) -> bool {
        match &self.narrowed {
            Some(left) => requirement.met_by(|scope| left.contains(scope)),
            None => requirement.met_by(|scope| token.scopes.holds(scope)),
        }
    }
}
