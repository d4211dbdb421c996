//! JSON output.

use crate::policy::diff::{
    approvals::Approval,
    finding::Finding,
    verdict::{Standing, Verdict},
};
use serde_json::{Value, json};

/// All findings as JSON.
pub fn json(verdict: &Verdict<'_>) -> String {
    let more_permissive = verdict.more_permissive.iter().map(|(found, standing)| {
        let mut value = finding(found);
        let (word, approved) = match standing {
            Standing::NotApproved => ("no", None),
            Standing::Approved(given) => ("yes", Some(approval(given))),
            Standing::Expired(given) => ("expired", Some(approval(given))),
        };
        if let Value::Object(members) = &mut value {
            members.insert("approved".to_owned(), json!(word));
            members.extend(approved.map(|approved| ("approval".to_owned(), approved)));
        }
        value
    });
    let plain = |findings: &[&Finding]| findings.iter().map(|found| finding(found)).collect::<Vec<_>>();
    let report = json!({
        "not_approved": verdict.open().count(),
        "more_permissive": more_permissive.collect::<Vec<_>>(),
        "less_permissive": plain(&verdict.less_permissive),
        "changed": plain(&verdict.changed),
        "unused_approvals": verdict.unused.iter().map(|unused| approval(unused)).collect::<Vec<_>>(),
    });
    format!("{report:#}\n")
}

fn finding(finding: &Finding) -> Value {
    let examples: Vec<_> = finding
        .examples
        .iter()
        .map(|example| json!({"method": example.method, "host": example.host, "path": example.path}))
        .collect();
    json!({
        "change": finding.identity(),
        "kind": finding.kind,
        "subject": finding.subject,
        "text": finding.text,
        "fingerprint": finding.fingerprint,
        "routes": finding.routes,
        "examples": examples,
        "kinds_of_requests": finding.kinds,
    })
}

fn approval(approval: &Approval) -> Value {
    json!({
        "change": approval.change,
        "by": approval.by,
        "reason": approval.reason,
        "expires": approval.expires.to_string(),
    })
}
