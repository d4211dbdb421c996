//! Who may call an operation: turns the security alternatives of an OpenAPI document into a rule or a question.

use crate::policy::openapi::{Scheme, SchemeKind, Security};
use portcullis_engine::policy::scope_name;
use std::collections::{BTreeSet, HashMap};

/// The most alternatives of an operation that are compared.
const ALTERNATIVES_MAX: usize = 500;

/// Who may pass a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Access {
    /// Anyone.
    Public,
    /// Anyone without a token, or with a valid one.
    Optional,
    /// Anyone with a valid token.
    Authenticated,
    /// Tokens with all scopes of one of these groups. No group is empty or a superset of another.
    Scopes(Vec<Vec<String>>),
}

/// Why a person has to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Unreadable,
    Path,
    Unsaid,
    Open,
    Optional,
    NoToken,
    Scope,
    Twice,
    EncodedSlash,
}

impl Kind {
    /// The question, as the title of a list of operations.
    pub(super) fn question(self) -> &'static str {
        match self {
            Self::Unreadable => "this part of the document cannot be used",
            Self::Path => "a policy cannot match this path",
            Self::Unsaid => "the document does not specify who may call this operation",
            Self::Open => "the document allows anyone to call this operation",
            Self::Optional => "the document makes the token optional",
            Self::NoToken => "the document requires something other than an access token",
            Self::Scope => "the document requires a scope that is not valid in a policy",
            Self::Twice => "the document has operations with different security for the same requests",
            Self::EncodedSlash => "a segment of the path may contain an encoded slash (`%2F`), which is refused",
        }
    }
}

/// How a policy can express the security of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// A rule, and notes on what it leaves out.
    Rule(Access, Vec<String>),
    /// A question, its reason, and the most likely answer.
    Ask(Kind, String, Option<Access>),
}

/// Decides how to express what an operation requires.
pub(super) fn decide(security: &Security, schemes: &HashMap<&str, &Scheme>) -> Decision {
    let alternatives = match security {
        Security::Unsaid => return Decision::Ask(Kind::Unsaid, "it has no `security`".to_owned(), None),
        Security::Unreadable(why) => return Decision::Ask(Kind::Unreadable, why.clone(), None),
        Security::AnyOf(alternatives) => alternatives,
    };
    if alternatives.is_empty() {
        return Decision::Ask(Kind::Open, "`security` is empty".to_owned(), Some(Access::Public));
    }
    if alternatives.len() > ALTERNATIVES_MAX {
        let why = format!("{} alternatives; the maximum is {ALTERNATIVES_MAX}", alternatives.len());
        return Decision::Ask(Kind::Unreadable, why, None);
    }
    let mut sorted = Sorted::default();
    for needs in alternatives {
        sorted.add(needs, schemes);
    }
    sorted.decision()
}

#[derive(Default)]
struct Sorted {
    /// The scopes of tokens that suffice on their own.
    groups: Vec<BTreeSet<String>>,
    /// The scopes of tokens that are required together with something else.
    partial: Vec<BTreeSet<String>>,
    others: Vec<String>,
    scopes: Vec<String>,
    anonymous: bool,
}

impl Sorted {
    fn add(&mut self, needs: &[(String, Vec<String>)], schemes: &HashMap<&str, &Scheme>) {
        if needs.is_empty() {
            self.anonymous = true;
            return;
        }
        let (mut group, mut others, mut refused) = (BTreeSet::new(), Vec::new(), Vec::new());
        let mut has_token = false;
        for (name, scopes) in needs {
            match schemes.get(name.as_str()).map(|scheme| &scheme.kind) {
                Some(SchemeKind::Tokens { .. }) => {
                    has_token = true;
                    refused.extend(scopes.iter().filter_map(|scope| scope_name(scope).err()));
                    group.extend(scopes.iter().cloned());
                }
                Some(SchemeKind::Other(what)) => others.push(format!("`{name}` ({what})")),
                None => others.push(format!("`{name}` (not declared in `securitySchemes`)")),
            }
        }
        match (refused.is_empty(), others.is_empty()) {
            (false, _) => self.scopes.extend(refused),
            (true, true) => self.groups.push(group),
            (true, false) => {
                if has_token {
                    self.partial.push(group);
                    others.insert(0, "a token".to_owned());
                }
                self.others.push(others.join(" together with "));
            }
        }
    }

    fn decision(mut self) -> Decision {
        unique(&mut self.others);
        unique(&mut self.scopes);
        let access = (!self.groups.is_empty()).then(|| access(&self.groups));
        if self.anonymous {
            return self.optional(access);
        }
        match access {
            Some(access) => {
                let others = (!self.others.is_empty()).then(|| {
                    format!("the document also accepts {}, but the policy does not", self.others.join(", or "))
                });
                let scopes = self.scopes.iter().map(|scope| format!("an alternative is omitted: {scope}"));
                Decision::Rule(access, others.into_iter().chain(scopes).collect())
            }
            None if self.scopes.is_empty() => {
                let likely = if self.partial.is_empty() { Access::Authenticated } else { self::access(&self.partial) };
                Decision::Ask(Kind::NoToken, self.others.join(", or "), Some(likely))
            }
            None => Decision::Ask(Kind::Scope, self.scopes.join("; "), None),
        }
    }
}

impl Sorted {
    /// There is an empty alternative. A token is optional then, unless the document names none: what else it accepts
    /// makes no difference, because everyone can leave it out.
    fn optional(&self, access: Option<Access>) -> Decision {
        match access {
            Some(access) => {
                let scopes = matches!(access, Access::Scopes(_)).then(
                    || "the document names scopes, which are not required, because everyone can leave out the token",
                );
                Decision::Rule(Access::Optional, scopes.into_iter().map(str::to_owned).collect())
            }
            None => {
                let why = "`security` has an empty alternative".to_owned();
                Decision::Ask(Kind::Optional, why, Some(Access::Public))
            }
        }
    }
}

fn unique(texts: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    texts.retain(|text| seen.insert(text.clone()));
}

/// Simplifies groups of scopes: a superset of another group adds nothing.
fn access(groups: &[BTreeSet<String>]) -> Access {
    let least: Vec<_> = groups
        .iter()
        .enumerate()
        .filter(|(at, group)| {
            !groups
                .iter()
                .enumerate()
                .any(|(other, less)| less.is_subset(group) && (less.len() < group.len() || other < *at))
        })
        .map(|(_, group)| group.iter().cloned().collect::<Vec<_>>())
        .collect();
    if least.iter().any(Vec::is_empty) { Access::Authenticated } else { Access::Scopes(least) }
}
