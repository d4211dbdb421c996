//! `portcullis shadow report`: counts what shadow mode has not refused.

use crate::{
    access_log::{Decision, Kind, Line, Missing, Reader},
    error::Error,
    exit::{Exit, Outcome},
    output::{self, Format},
    plain::clipped,
    policy::{Alternative, describe},
    report::counted,
    table::List,
};
use anstyle::Style;
use serde_json::{Value, json};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, btree_map::Entry},
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

/// The most different refusals that are told apart: clients are as many as there are, and a log can be of any length.
const GROUPS_MAX: usize = 100_000;
/// The longest line that is read, in bytes; a longer one is read in parts.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// The longest cell, in characters.
const CELL_CHARS_MAX: usize = 200;

const HELP: &str = "\
The access log must have the filter's field, `%FILTER_STATE(wasm.portcullis:PLAIN)%`, in JSON or in
text; envoy/envoy.yaml has it. Lines without it are ignored.

Examples:
  portcullis shadow report access.log
  kubectl logs deploy/gateway | portcullis shadow report - --output json | jq '.refused[].missing'";

/// Report what would have been refused, from access logs: by route, client and missing scope
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Access logs of Envoy; `-` reads standard input
    #[arg(required = true, value_name = "ACCESS-LOG")]
    files: Vec<PathBuf>,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
}

/// What refusals have in common that are counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    route: Option<String>,
    code: String,
    reason: Option<String>,
    client: Option<String>,
    missing: Option<Missing>,
}

/// The counts of all files.
#[derive(Debug, Default)]
struct Counts {
    decisions: u64,
    refused: BTreeMap<Group, u64>,
    /// Refusals beyond [`GROUPS_MAX`].
    others: u64,
    /// Lines without the field.
    without: u64,
    /// Lines with several fields of which only one can be the filter's.
    ambiguous: u64,
    /// The decisions of each route.
    routes: BTreeMap<Option<String>, u64>,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let reader = Reader::new().map_err(|error| Error::failed(format_args!("{error}")))?;
        let mut counts = Counts::default();
        for file in &self.files {
            counts.read(file, &reader)?;
        }
        // Whoever reads "none" rolls out.
        if counts.decisions + counts.ambiguous == 0 && counts.without > 0 {
            return Err(Error::failed(
                "no line has the filter's field, `%FILTER_STATE(wasm.portcullis:PLAIN)%`: add it to the access log",
            ));
        }
        match self.output {
            Format::Text => output::write_styled(&counts.text())?,
            Format::Json => output::write_json(&counts.json())?,
        };
        Ok(Exit::Done)
    }
}

impl Counts {
    fn read(&mut self, path: &Path, reader: &Reader) -> Result<(), Error> {
        let failed = |error: io::Error| Error::failed(format_args!("cannot read `{}`: {error}", path.display()));
        let mut source: Box<dyn BufRead> = match path.to_str() {
            Some("-") => Box::new(io::stdin().lock()),
            _ => Box::new(BufReader::new(File::open(path).map_err(failed)?)),
        };
        let mut line = Vec::new();
        while io::Read::take(&mut source, LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(failed)? > 0 {
            self.count(reader.read(String::from_utf8_lossy(&line).trim()));
            line.clear();
        }
        Ok(())
    }

    fn count(&mut self, line: Line) {
        match line {
            Line::Other => self.without += 1,
            Line::Decision(decision) => self.add(*decision),
            Line::Ambiguous => self.ambiguous += 1,
        }
    }

    fn add(&mut self, decision: Decision) {
        self.decisions += 1;
        *self.routes.entry(decision.route.clone()).or_default() += 1;
        if decision.kind != Kind::Shadow {
            return;
        }
        let Decision { code, reason, route, client, missing, .. } = decision;
        let group = Group { route, code, reason, client, missing };
        let is_full = self.refused.len() >= GROUPS_MAX;
        match self.refused.entry(group) {
            Entry::Occupied(mut count) => *count.get_mut() += 1,
            Entry::Vacant(_) if is_full => self.others += 1,
            Entry::Vacant(place) => {
                place.insert(1);
            }
        }
    }

    fn of_route(&self, route: &Option<String>) -> u64 {
        self.routes.get(route).copied().unwrap_or_default()
    }

    /// The most frequent first.
    fn ordered(&self) -> Vec<(&Group, u64)> {
        let mut ordered: Vec<_> = self.refused.iter().map(|(group, count)| (group, *count)).collect();
        ordered.sort_by_key(|(_, count)| Reverse(*count));
        ordered
    }

    fn text(&self) -> String {
        let refused = self.refused.values().sum::<u64>() + self.others;
        let decisions = counted(usize::try_from(self.decisions).unwrap_or(usize::MAX), "decision");
        let ambiguous = match self.ambiguous {
            0 => String::new(),
            count => format!(
                "left out: {} with several fields of the filter, which a client may have written\n",
                counted(usize::try_from(count).unwrap_or(usize::MAX), "line")
            ),
        };
        if refused == 0 {
            return format!("{decisions}: shadow mode would have refused none\n{ambiguous}");
        }
        let mut list = List::new(&["COUNT", "ROUTE", "REFUSAL", "CLIENT", "MISSING"], &[1, 2, 3, 4]);
        for (group, count) in self.ordered() {
            let cell = |text: &Option<String>| clipped(text.as_deref().unwrap_or("-"), CELL_CHARS_MAX);
            let refusal = match &group.reason {
                Some(reason) => format!("{}: {reason}", group.code),
                None => group.code.clone(),
            };
            let of = format!("{count} of {}", self.of_route(&group.route));
            let missing = group
                .missing
                .as_ref()
                .map_or_else(|| "-".to_owned(), |missing| clipped(&words(missing), CELL_CHARS_MAX));
            list.row(Style::new(), vec![of, cell(&group.route), refusal, cell(&group.client), missing]);
        }
        let others = match self.others {
            0 => String::new(),
            others => format!("and {others} more that are not told apart\n"),
        };
        let table = list.text(true);
        format!(
            "{decisions}: shadow mode would have refused {refused}\n\n{table}{others}{ambiguous}\nCOUNT is out of all decisions on the route\n"
        )
    }

    fn json(&self) -> Value {
        let refused: Vec<_> = self
            .ordered()
            .into_iter()
            .map(|(group, count)| {
                let Group { route, code, reason, client, missing } = group;
                json!({
                    "route": route, "code": code, "reason": reason, "client": client, "missing": missing, "count": count,
                    "decisions": self.of_route(route),
                })
            })
            .collect();
        json!({"decisions": self.decisions, "refused": refused, "others": self.others, "ambiguous": self.ambiguous})
    }
}

fn words(missing: &Missing) -> String {
    let any: Vec<_> = missing
        .any_of
        .iter()
        .map(|group| Alternative { set: None, scopes: group.iter().map(String::as_str).collect() })
        .collect();
    describe(missing.all_of.iter().map(String::as_str), &any)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(lines: &[&str]) -> Counts {
        let reader = Reader::new().expect("a pattern");
        let mut counts = Counts::default();
        lines.iter().for_each(|line| counts.count(reader.read(line)));
        counts
    }

    #[test]
    fn what_would_be_refused_is_counted_by_route_client_and_missing_scope() {
        let web = "code=shadow:insufficient_scope route=orders session=- client=web missing=orders:write";
        let cli = "code=shadow:insufficient_scope route=orders session=- client=cli missing=a,b|c";
        let none = "code=shadow:no_credentials route=orders session=-";
        let all =
            counts(&[web, "code=ok route=orders session=-", none, web, cli, "code=no_route route=- session=-", "x"]);
        let json = all.json();
        let row = |index: usize| json["refused"][index].clone();
        assert_eq!((&json["decisions"], json["refused"].as_array().map(Vec::len)), (&json!(6), Some(3)));
        assert_eq!((&row(0)["client"], &row(0)["count"], &row(0)["decisions"]), (&json!("web"), &json!(2), &json!(5)));
        assert_eq!(row(0)["missing"], json!({"all_of": ["orders:write"], "any_of": []}));
        let text = anstream::adapter::strip_str(&all.text()).to_string();
        assert!(text.starts_with("6 decisions: shadow mode would have refused 4\n"), "{text}");
        for expected in ["2 of 5", "no_credentials", "`a` and (`b` or `c`)"] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let none = counts(&["code=ok route=orders session=-"]).text();
        assert_eq!(none, "1 decision: shadow mode would have refused none\n");
        let planted = counts(&[&format!("{web} code=ok route=x session=-")]);
        assert_eq!((planted.decisions, planted.json()["ambiguous"].clone()), (0, json!(1)));
        assert!(
            planted
                .text()
                .ends_with("left out: 1 line with several fields of the filter, which a client may have written\n")
        );
    }
}
