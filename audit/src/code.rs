//! The codes of records: one closed table. A record's code is the name of its event.

/// A class of the Open Cybersecurity Schema Framework, with what a code is an activity of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// 3002 Authentication.
    Authentication,
    /// 3004 Entity Management.
    EntityManagement,
    /// 3005 User Access Management.
    UserAccess,
    /// 6003 API Activity.
    ApiActivity,
}

impl Class {
    /// The number of the class.
    pub const fn uid(self) -> u32 {
        match self {
            Self::Authentication => 3002,
            Self::EntityManagement => 3004,
            Self::UserAccess => 3005,
            Self::ApiActivity => 6003,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authentication => "Authentication",
            Self::EntityManagement => "Entity Management",
            Self::UserAccess => "User Access Management",
            Self::ApiActivity => "API Activity",
        }
    }
}

/// A code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The name, as records have it.
    pub name: &'static str,
    /// The OCSF class of its records.
    pub class: Class,
    /// The activity within that class.
    pub activity: u32,
    /// Whether its records report that something was refused.
    pub is_failure: bool,
}

/// The activity of a class that none of its names fits.
const OTHER: u32 = 99;

const fn code(name: &'static str, class: Class, activity: u32) -> Code {
    Code { name, class, activity, is_failure: false }
}

const fn failure(name: &'static str, class: Class, activity: u32) -> Code {
    Code { name, class, activity, is_failure: true }
}

/// The first record of a file.
pub const FILE: &str = "audit_file";
/// Records are missing.
pub const GAP: &str = "gap";

/// Every code.
pub const CODES: &[Code] = &[
    code(FILE, Class::ApiActivity, OTHER),
    failure(GAP, Class::ApiActivity, OTHER),
    code("started", Class::ApiActivity, OTHER),
    code("stopped", Class::ApiActivity, OTHER),
    code("configuration_loaded", Class::EntityManagement, 2),
    code("configuration_reloaded", Class::EntityManagement, 3),
    failure("configuration_refused", Class::EntityManagement, 3),
    code("conditions_reloaded", Class::EntityManagement, 3),
    failure("conditions_refused", Class::EntityManagement, 3),
    code("admin_signed_in", Class::Authentication, 1),
    failure("admin_refused", Class::Authentication, 1),
    code("policy_seen", Class::EntityManagement, 1),
    code("policy_gone", Class::EntityManagement, 4),
    code("opened", Class::Authentication, 1),
    code("login", Class::Authentication, 1),
    code("ended", Class::Authentication, 2),
    code("end_withdrawn", Class::Authentication, OTHER),
    failure("refused", Class::ApiActivity, 2),
    code("would_refuse", Class::ApiActivity, 2),
    failure("evaluation_denied", Class::ApiActivity, 2),
    code("scopes_narrowed", Class::UserAccess, 2),
    code("scopes_restored", Class::UserAccess, 1),
    code("scopes_grew", Class::UserAccess, 1),
    code("session_revoked", Class::Authentication, 2),
    failure("refresh_reused", Class::Authentication, OTHER),
    failure("refresh_refused", Class::Authentication, OTHER),
    code("family_opened", Class::Authentication, 1),
    code("family_ended", Class::Authentication, 2),
    code("token_exchanged", Class::Authentication, OTHER),
    code("revocation_made", Class::EntityManagement, 1),
    code("revocation_lifted", Class::EntityManagement, 4),
    code("block_made", Class::UserAccess, 2),
    code("block_lifted", Class::UserAccess, 1),
    code("attribute_set", Class::EntityManagement, 3),
    code("attribute_removed", Class::EntityManagement, 4),
    code("anomaly", Class::ApiActivity, OTHER),
    code("approval_requested", Class::UserAccess, OTHER),
    code("approval_decided", Class::UserAccess, OTHER),
    code("approval_cancelled", Class::UserAccess, OTHER),
    failure("approval_expired", Class::UserAccess, OTHER),
    failure("approval_impossible", Class::UserAccess, OTHER),
    code("approval_reviewed", Class::UserAccess, OTHER),
    code("break_glass", Class::UserAccess, 1),
    code("grant_used", Class::UserAccess, OTHER),
    code("grant_ended", Class::UserAccess, 2),
    code("signal", Class::ApiActivity, 1),
    code("stream_changed", Class::EntityManagement, 3),
    code("clock_confirmed", Class::EntityManagement, 3),
];

/// What a record is whose code is not in the table.
const UNKNOWN: Code = code("", Class::ApiActivity, OTHER);

/// The code with a name.
pub fn named(name: &str) -> Option<&'static Code> {
    CODES.iter().find(|code| code.name == name)
}

/// The same, and for a name that is not in the table what comes closest: a record is never left out for its name.
pub(crate) fn closest(name: &str) -> &'static Code {
    named(name).unwrap_or(&UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_documented_with_its_class() {
        let page = include_str!("../../docs/audit.md");
        let (_, section) = page.split_once("\n## Codes\n").unwrap();
        let rows = section.split("\n## ").next().unwrap().lines().filter_map(|line| line.strip_prefix("| `"));
        let documented: Vec<String> = rows.map(|row| row.split(" | ").take(2).collect::<Vec<_>>().join(" ")).collect();
        let codes: Vec<String> = CODES.iter().map(|code| format!("{}` {}", code.name, code.class.uid())).collect();
        assert_eq!(documented, codes);
    }

    #[test]
    fn names_are_unique_and_activities_are_those_of_their_class() {
        for (number, code) in CODES.iter().enumerate() {
            assert!(CODES[..number].iter().all(|other| other.name != code.name), "{}", code.name);
            let last = match code.class {
                Class::Authentication => 7,
                Class::EntityManagement => 14,
                Class::UserAccess => 2,
                Class::ApiActivity => 4,
            };
            assert!((1..=last).contains(&code.activity) || code.activity == OTHER, "{}", code.name);
        }
        assert_eq!((named("refused").map(|code| code.name), named("nothing")), (Some("refused"), None));
    }
}
