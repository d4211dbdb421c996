//! Files of approvals, good and bad.

use super::*;

fn read(text: &str) -> Result<Approvals, String> {
    let document = Document::parse("approved.yaml", text).map_err(|_| "no document".to_owned())?;
    Approvals::of(document).map_err(|error| anstream::adapter::strip_str(&crate::report::text(&error)).to_string())
}

#[test]
fn an_approval_names_change_person_reason_and_day() {
    let approvals = read(
        "approvals:\n- {change: 'a: b [0]', by: team, reason: because, expires: 2027-01-31}\n- {change: c, by: d, reason: e, expires: '2028-02-29'}\n",
    )
    .unwrap();
    let first = approvals.of_change("a: b [0]").unwrap();
    assert_eq!(
        (first.by.as_str(), first.reason.as_str(), first.expires.to_string()),
        ("team", "because", "2027-01-31".into())
    );
    assert_eq!(approvals.iter().len(), 2);
    assert_eq!(approvals.of_change("a: b"), None);
    assert_eq!(read("approvals: []"), Ok(Approvals::default()));
}

#[test]
fn every_fault_is_told_at_its_place() {
    let report = read(
        "approvals:\n- {change: a, by: , reason: r, expires: 2027-02-30}\n- {change: b, by: x, reason: ' ', expire: 2027-01-01}\n- {change: b, by: 1, reason: r, expires: 2027-01-01, by: x}\n- nonsense\nmore: 1\n",
    )
    .unwrap_err();
    for (place, message) in [
        ("2:", "`null` is not allowed; set a value or omit the key"),
        ("2:", "expected a date such as `2027-03-01`"),
        ("3:", "must not be empty"),
        ("3:", "unknown key; did you mean `expires`?"),
        ("3:", "this key is required"),
        ("4:", "this change is already approved at `$.approvals[1]`"),
        ("4:", "this key appears twice"),
        ("5:", "expected an object, found text"),
        ("6:", "unknown key; expected one of `approvals`"),
    ] {
        let told = report
            .split("error")
            .any(|part| part.contains(message) && part.contains(&format!("approved.yaml:{place}")));
        assert!(told, "{message} at {place}\n{report}");
    }
}

#[test]
fn what_is_no_list_of_approvals_is_refused() {
    for (text, message) in [
        ("{}", "this key is required"),
        ("[]", "expected an object, found a list"),
        ("approvals: yes please", "expected a list, found text"),
        ("approvals: {a: b}", "expected a list, found an object"),
    ] {
        let report = read(text).unwrap_err();
        assert!(report.contains(message), "{text}: {report}");
    }
}
