//! The answer to a refusal: the code's own, with what the rule that refused asks for.

use super::request::Denial;
use crate::{
    answer::{Answer, Demand},
    policy::{Access, Policy},
};

impl Denial {
    /// What the client is answered.
    pub fn answer(&self, policy: &Policy) -> Answer {
        Answer::new(self.code, &policy.realm, self.demand(policy))
    }

    /// What the rule that refused asks for.
    fn demand<'a>(&self, policy: &'a Policy) -> Demand<'a> {
        let Some(rule) = self.rule.and_then(|id| policy.rule(id)) else { return Demand::default() };
        Demand {
            scope: match &rule.access {
                Access::Scopes(requirement) => requirement.challenge(),
                Access::Public | Access::Authenticated => "",
            },
            acr: &rule.acr,
            max_age: rule.limits.max_age,
        }
    }
}
