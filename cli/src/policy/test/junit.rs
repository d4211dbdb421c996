//! The report of a run as JUnit XML for CI, with a suite for each file of cases.

use super::run::{Difference, Played, Run};
use crate::policy::cases::{Case, Cases};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

pub(super) fn xml(run: &Run, policy: &str) -> Result<String, String> {
    let mut report = Report::new(policy);
    for (file, played) in run.files.iter().zip(&run.played) {
        let mut suite = TestSuite::new(file.document.name());
        suite.add_test_cases(file.list.iter().zip(played).map(|(case, played)| test_case(file, case, played)));
        report.add_test_suite(suite);
    }
    report.to_string().map_err(|error| error.to_string())
}

fn test_case(file: &Cases, case: &Case, played: &Played) -> TestCase {
    let (line, _) = file.position(&case.place);
    let status = match played.differences.as_slice() {
        [] => TestCaseStatus::success(),
        differences => {
            let words: Vec<_> = differences.iter().map(Difference::words).collect();
            let words = words.join(", ");
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(words.as_str()).set_type("unexpected");
            status.set_description(format!("{}:{line}: {words}\n{}", file.document.name(), played.why));
            status
        }
    };
    let mut test_case = TestCase::new(case.name.clone(), status);
    test_case.set_classname(file.document.name());
    // CI services read these keys to annotate the place.
    test_case.extra.insert("file".into(), file.document.name().into());
    test_case.extra.insert("line".into(), line.to_string().into());
    test_case
}
