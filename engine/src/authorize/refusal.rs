//! The answer to a refused request: the code's own, with the requirements of the rule that refused it.

use super::request::Denial;
use crate::{
    answer::{Answer, Demand},
    policy::{Access, Policy},
};

impl Denial {
    /// The answer for the client.
    pub fn answer(&self, policy: &Policy) -> Answer {
        Answer::new(self.code, &policy.realm, self.demand(policy))
    }

    /// The requirements of the rule that refused the request.
    fn demand<'a>(&self, policy: &'a Policy) -> Demand<'a> {
        let Some(rule) = self.rule.and_then(|id| policy.rule(id)) else { return Demand::default() };
        Demand {
            scope: match &rule.access {
                Access::Scopes(requirement) => requirement.challenge(),
                Access::Public | Access::Optional | Access::Authenticated => "",
            },
            acr: &rule.acr,
            max_age: rule.limits.max_age,
        }
    }
}
