//! Every example is valid: its policy has no fault, its cases pass, and they cover every rule.

use portcullis_cli::policy::{cases::Cases, load::Loaded, test::Run};
use portcullis_conditions::{Declared, Set};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

fn examples() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let folders = std::fs::read_dir(root).expect("the repository has examples");
    let mut folders: Vec<_> = folders.map(|folder| folder.expect("a folder").path()).collect();
    // The one about the session service alone.
    folders.retain(|folder| !folder.ends_with("replicas"));
    folders.sort();
    folders
}

/// The conditions of an example, if it has some.
fn conditions(folder: &Path) -> Option<Arc<Set>> {
    let dir = folder.join("conditions");
    let sources = dir.is_dir().then(|| portcullis_conditions::read(&dir).expect("files of conditions"))?;
    Some(Arc::new(Set::load(&sources, &Declared::default()).expect("conditions without fault")))
}

#[test]
fn every_example_has_a_policy_cases_and_a_readme() {
    for folder in examples() {
        for file in ["policy.yaml", "cases.yaml", "README.md"] {
            assert!(folder.join(file).is_file(), "{} has no {file}", folder.display());
        }
    }
}

#[test]
fn the_cases_of_every_example_hold_and_reach_every_rule() {
    for folder in examples() {
        let name = folder.display();
        let loaded = Loaded::read(&folder.join("policy.yaml")).expect("a policy without fault");
        let cases = Cases::read(&folder.join("cases.yaml")).expect("cases without fault");
        cases.must_fit(&loaded.policy).expect("cases of this policy");
        let run = Run::with_conditions(loaded, vec![cases], conditions(&folder)).expect("a run");
        let differences: Vec<_> = run.files[0]
            .list
            .iter()
            .zip(&run.played[0])
            .filter(|(_, played)| !played.differences.is_empty())
            .map(|(case, played)| format!("{}: {:?}, {}", case.name, played.differences, played.why))
            .collect();
        assert!(differences.is_empty(), "{name}: {differences:#?}");
        assert!(run.unreached.is_empty(), "{name}: no case reaches {:?}", run.unreached);
    }
}
