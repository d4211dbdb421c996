//! `docs/` beside the code: every key of a policy, every command and option is documented, and nothing else.

use crate::tool::root;
use clap::CommandFactory;
use serde_json::Value;
use std::{collections::BTreeSet, fs};

fn page(name: &str) -> String {
    let path = root().join("docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The part of a page under a heading, up to the next one.
fn section<'p>(page: &'p str, heading: &str) -> &'p str {
    let rest = page.split_once(&format!("\n{heading}\n")).map(|(_, rest)| rest);
    rest.unwrap_or_else(|| panic!("no heading `{heading}`")).split("\n#").next().expect("a part")
}

/// The code in the first cell of each row of a table.
fn first_cells(section: &str) -> BTreeSet<String> {
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    cells.map(str::to_owned).collect()
}

/// Where each object of the schema is documented.
const OBJECTS: [(&str, &str); 18] = [
    ("Policy", "## Top level"),
    ("OAuth", "## `oauth`"),
    ("Sizes", "## `limits`"),
    ("Issuer", "## `issuers`"),
    ("Keys", "## `issuers[].keys`"),
    ("Session", "## `session`"),
    ("Credential", "## `session.credential`"),
    ("Attributes", "## `session.attributes`"),
    ("Place", "## `session.place`"),
    ("Dpop", "## `dpop`"),
    ("Device", "## `device`"),
    ("Client", "## `session.client`"),
    ("Scope", "## `scopes`"),
    ("UpstreamToken", "## `upstream_token`"),
    ("Route", "## `routes`"),
    ("Match", "## `routes[].match`"),
    ("Require", "## `routes[].require`"),
    ("Limits", "## `routes[].session`"),
];

/// The keys of an object of the schema, if it has some.
fn keys(object: &Value) -> Option<BTreeSet<String>> {
    let properties = object.get("properties")?.as_object()?;
    Some(properties.keys().cloned().collect())
}

#[test]
fn every_key_of_a_policy_is_documented() {
    let schema = portcullis_engine::policy::schema();
    let mut objects: Vec<_> = schema["$defs"].as_object().expect("definitions").iter().collect();
    let root = "Policy".to_owned();
    objects.push((&root, &schema));
    let page = page("policy.md");
    let mut documented = 0;
    for (name, object) in objects {
        let Some(keys) = keys(object) else { continue };
        let (_, heading) = OBJECTS.iter().find(|(of, _)| of == name).unwrap_or_else(|| panic!("`{name}` has no place"));
        assert_eq!(first_cells(section(&page, heading)), keys, "{heading}");
        documented += 1;
    }
    assert_eq!(documented, OBJECTS.len());
}

/// The headings and options of a command and of the commands below it.
fn commands(command: &clap::Command, path: &str, found: &mut Vec<(String, BTreeSet<String>)>) {
    let path = format!("{path} {}", command.get_name()).trim().to_owned();
    let mut below = command.get_subcommands().filter(|below| below.get_name() != "help").peekable();
    if below.peek().is_none() {
        let options = command.get_arguments().filter_map(|argument| argument.get_long()).filter(|long| *long != "help");
        found.push((format!("### `{path}`"), options.map(|long| format!("--{long}")).collect()));
    }
    below.for_each(|below| commands(below, &path, found));
}

#[test]
fn every_command_and_option_is_documented() {
    let page = page("command-line.md");
    let mut found = Vec::new();
    commands(&portcullis_cli::Args::command(), "", &mut found);
    let headings: BTreeSet<_> = page.lines().filter(|line| line.starts_with("### `")).map(str::to_owned).collect();
    assert_eq!(headings, found.iter().map(|(heading, _)| heading.clone()).collect());
    let shared = first_cells(section(&page, "## Sessions"));
    for (heading, options) in found {
        let mut documented = first_cells(section(&page, &heading));
        if options.contains("--url") && options.contains("--ca") {
            documented.extend(shared.clone());
        }
        assert_eq!(documented, options, "{heading}");
    }
}

#[test]
fn what_stands_below_the_options_fits_a_hundred_columns() {
    fn check(command: &clap::Command) {
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        // Examples are pasted, and may be longer.
        let long: Vec<_> = text.lines().filter(|line| !line.starts_with("  ") && line.chars().count() > 100).collect();
        assert_eq!(long, Vec::<&str>::new(), "{}", command.get_name());
        command.get_subcommands().for_each(check);
    }
    check(&portcullis_cli::Args::command());
}
