//! Path parameters whose values may contain an encoded slash, as those of npm (`@scope%2Fname`) and GitLab (`group%2Fproject`).
//! OpenAPI has no word for them: examples and descriptions do.

use super::Value;

/// How descriptions say it, in lower case and without spaces and hyphens.
const SAID: [&str; 4] = ["urlencod", "uriencod", "percentencod", "%2f"];

/// Why a segment of the path may contain an encoded slash, if its parameter suggests that. Beside other text, a parameter of a
/// policy has none.
pub(super) fn suggested(path: &str, path_parameters: &[&Value]) -> Option<String> {
    let mut parameters = path_parameters.iter().filter_map(|parameter| Some((parameter.text("name")?, *parameter)));
    parameters.find_map(|(name, parameter)| {
        let is_segment = path
            .split('/')
            .any(|segment| segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) == Some(name));
        let why = why(parameter).filter(|_| is_segment)?;
        Some(format!("the {why} of `{name}`"))
    })
}

fn why(parameter: &Value) -> Option<&'static str> {
    let schema = parameter.get("schema").unwrap_or(&Value::Null);
    let single = [parameter.get("example"), schema.get("example"), schema.get("default")];
    let listed = schema.get("examples").map(Value::items).unwrap_or_default();
    let named = parameter.get("examples").map(Value::entries).unwrap_or_default();
    let named = named.iter().filter_map(|(_, example)| example.get("value"));
    let mut examples = single.into_iter().flatten().chain(listed).chain(named).filter_map(Value::as_text);
    if examples.any(|example| example.to_ascii_lowercase().contains("%2f")) {
        return Some("example");
    }
    let description: String = parameter.text("description")?.to_ascii_lowercase();
    let description = description.replace([' ', '-', '\n'], "");
    SAID.iter().any(|said| description.contains(said)).then_some("description")
}
