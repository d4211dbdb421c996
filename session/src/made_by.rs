//! Who has made a rule that is stored.

use serde::{Deserialize, Serialize};

/// The admin who has made a rule, if one has. It is for people, and no part of what the rule is: a version of the service that
/// does not keep it must still be able to lift the rule, so two rules are the same whoever has made them.
#[derive(Debug, Clone, Default, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MadeBy(Option<Box<str>>);

impl MadeBy {
    /// An admin, by its name.
    pub fn admin(name: &str) -> Self {
        Self(Some(name.into()))
    }

    /// Its name; `None`: a signal has made the rule, or a version that did not note that.
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Whether nobody is named.
    pub fn is_nobody(&self) -> bool {
        self.0.is_none()
    }
}

impl PartialEq for MadeBy {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::{Block, BlockedParty};

    #[test]
    fn who_has_made_a_rule_is_stored_and_no_part_of_what_it_is() {
        let block = |by| Block {
            issuer: "i".to_owned(),
            party: BlockedParty::Subject("s".to_owned()),
            until_ms: None,
            made_at_ms: 1,
            reason: String::new(),
            transmitter: String::new(),
            email: None,
            by,
        };
        let (anna, nobody) = (block(MadeBy::admin("anna")), block(MadeBy::default()));
        assert_eq!(anna, nobody);
        let text = serde_json::to_string(&anna).unwrap();
        assert_eq!(serde_json::from_str::<Block>(&text).unwrap().by.name(), Some("anna"));
        let text = serde_json::to_string(&nobody).unwrap();
        assert!(!text.contains("by"), "{text}");
        assert_eq!(serde_json::from_str::<Block>(&text).unwrap().by.name(), None);
    }
}
