//! Not-before rules: "all sessions of … before T are revoked", kept for ever, for sessions seen and not yet seen.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Whom a rule is about, within its issuer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whom {
    /// Every session of the issuer.
    Everyone,
    /// The sessions of one subject.
    Subject(String),
    /// The sessions of one client.
    Client(String),
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The issuer that it is about.
    pub issuer: String,
    /// Whom of it.
    pub whom: Whom,
    /// Sessions and tokens that started before this instant are revoked.
    pub before_ms: u64,
    /// When the rule was made: the instant at which it ended the sessions it found.
    pub made_at_ms: u64,
}

impl Rule {
    /// Whether the rule is against a session or token of that identity and start.
    pub fn hits(&self, issuer: &str, subject: &str, client: &str, start_ms: u64) -> bool {
        let names = match &self.whom {
            Whom::Everyone => true,
            Whom::Subject(named) => named == subject,
            Whom::Client(named) => named == client,
        };
        names && self.issuer == issuer && start_ms < self.before_ms
    }

    /// The rule that says what both say; both are about the same party. The later instant holds.
    pub fn merged(self, other: &Self) -> Self {
        if other.before_ms > self.before_ms { other.clone() } else { self }
    }
}

/// All rules, at most one for each party, so that a question costs three look-ups however many there are.
#[derive(Debug, Default)]
pub struct Rules(HashMap<String, OfIssuer>);

#[derive(Debug, Default)]
struct OfIssuer {
    everyone: Option<Rule>,
    subjects: HashMap<String, Rule>,
    clients: HashMap<String, Rule>,
}

impl Rules {
    /// Adds a rule, or moves the one about the same party to the later instant.
    pub fn add(&mut self, rule: Rule) {
        let of_issuer = self.0.entry(rule.issuer.clone()).or_default();
        let into = |rules: &mut HashMap<String, Rule>, name: &str, rule: Rule| {
            let rule = match rules.get(name) {
                Some(held) => rule.merged(held),
                None => rule,
            };
            rules.insert(name.to_owned(), rule);
        };
        match rule.whom.clone() {
            Whom::Everyone => {
                let held = of_issuer.everyone.take();
                of_issuer.everyone = Some(match held {
                    Some(held) => rule.merged(&held),
                    None => rule,
                });
            }
            Whom::Subject(name) => into(&mut of_issuer.subjects, &name, rule),
            Whom::Client(name) => into(&mut of_issuer.clients, &name, rule),
        }
    }

    /// The rule against a session or token of that identity and start, if there is one.
    pub fn against(&self, issuer: &str, subject: &str, client: &str, start_ms: u64) -> Option<&Rule> {
        let of_issuer = self.0.get(issuer)?;
        [of_issuer.everyone.as_ref(), of_issuer.subjects.get(subject), of_issuer.clients.get(client)]
            .into_iter()
            .flatten()
            .find(|rule| start_ms < rule.before_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(whom: Whom, before_ms: u64) -> Rule {
        Rule { issuer: "i".to_owned(), whom, before_ms, made_at_ms: 7 }
    }

    #[test]
    fn a_rule_stands_against_its_party_before_its_instant_and_no_other() {
        let mut rules = Rules::default();
        let made = [
            rule(Whom::Everyone, 10),
            rule(Whom::Subject("alice".to_owned()), 20),
            rule(Whom::Client("app".to_owned()), 30),
        ];
        for rule in &made {
            rules.add(rule.clone());
        }
        let rows = [
            ("i", "bob", "web", 9, true),
            ("i", "bob", "web", 10, false),
            ("i", "alice", "web", 19, true),
            ("i", "alice", "web", 20, false),
            ("i", "alice", "app", 29, true),
            ("i", "bob", "app", 30, false),
            ("j", "alice", "app", 0, false),
            ("i", "app", "alice", 15, false),
        ];
        for (issuer, subject, client, start, expected) in rows {
            let found = rules.against(issuer, subject, client, start).is_some();
            assert_eq!(found, expected, "{issuer} {subject} {client} {start}");
            let any = made.iter().any(|rule| rule.hits(issuer, subject, client, start));
            assert_eq!(any, expected, "{issuer} {subject} {client} {start}");
        }
    }

    #[test]
    fn an_earlier_instant_never_loosens_a_rule() {
        for whom in [Whom::Everyone, Whom::Subject("a".to_owned()), Whom::Client("a".to_owned())] {
            let mut rules = Rules::default();
            for before in [50, 20] {
                rules.add(rule(whom.clone(), before));
            }
            assert!(rules.against("i", "a", "a", 49).is_some(), "{whom:?}");
        }
    }
}
