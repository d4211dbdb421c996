//! Any text is a template that finds its own paths, or a fault; with and without case.
#![no_main]

use portcullis_engine::route::{Host, Match, Path, RouteTable, RuleId, Segment, Template};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(template) = Template::parse(text) else { return };
    let path: String = template
        .segments()
        .iter()
        .map(|segment| match segment {
            Segment::Literal(text) => format!("/{text}"),
            Segment::Suffixed(suffix) => format!("/x{suffix}"),
            Segment::One | Segment::Rest => "/x".to_owned(),
        })
        .collect();
    let path = Path::parse(path.as_bytes()).expect("its literal parts are canonical");
    let host = Host::parse(b"a").expect("a host");
    for ignore_case in [false, true] {
        let path_template = if ignore_case { template.clone().without_case() } else { template.clone() };
        let answers = Match { hosts: Vec::new(), methods: Vec::new(), path: path_template, encoded_slash: true };
        let mut table = RouteTable::new(ignore_case);
        table.insert(RuleId(0), &answers).expect("the only rule");
        assert_eq!(table.find(&host, "GET", &path), Some(RuleId(0)), "{text}");
    }
});
