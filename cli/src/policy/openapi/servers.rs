//! Reads where operations are served: the base paths and hosts of `servers`.

use super::Value;

/// The most URLs that the variables of one server may produce; beyond that, only their defaults are used.
const URLS_MAX: usize = 32;
/// The most base paths of one operation.
const BASES_MAX: usize = 64;

/// A base path and the hosts that serve it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) struct Base {
    /// Prefix of the operation's path; empty, or starts with `/`.
    pub(in crate::policy) path: String,
    /// The hosts of the URLs in lower case, without ports, with `*.` for a variable first label; in the order of the document.
    pub(in crate::policy) hosts: Vec<String>,
    /// Whether it is also served by the host of the document itself, which the document does not name.
    pub(in crate::policy) anywhere: bool,
}

impl Base {
    fn root() -> Self {
        Self { path: String::new(), hosts: Vec::new(), anywhere: true }
    }
}

/// Reads `servers`. Without any, the only server is at `/`.
pub(super) fn bases(servers: &Value, notes: &mut Vec<String>) -> Vec<Base> {
    let mut bases: Vec<Base> = Vec::new();
    let servers = servers.items().iter().filter_map(|server| Some((server, server.text("url")?)));
    for (host, path) in servers.flat_map(|(server, url)| urls(server, url, notes)).map(|url| parts(&url)) {
        let known = bases.iter().position(|base| base.path == path);
        if known.is_none() && bases.len() == BASES_MAX {
            note(notes, format!("more than {BASES_MAX} base paths in one list of servers; the rest are ignored"));
            break;
        }
        let at = known.unwrap_or(bases.len());
        if known.is_none() {
            bases.push(Base { path, hosts: Vec::new(), anywhere: false });
        }
        if let Some(base) = bases.get_mut(at) {
            match host {
                Some(host) if base.hosts.contains(&host) => {}
                Some(host) => base.hosts.push(host),
                None => base.anywhere = true,
            }
        }
    }
    if bases.is_empty() { vec![Base::root()] } else { bases }
}

fn note(notes: &mut Vec<String>, text: String) {
    if !notes.contains(&text) {
        notes.push(text);
    }
}

/// Every URL that the variables of a server can produce.
fn urls(server: &Value, url: &str, notes: &mut Vec<String>) -> Vec<String> {
    let variables = server.get("variables").map(Value::entries).unwrap_or_default();
    let mut urls = vec![url.to_owned()];
    for (name, variable) in variables {
        let slot = format!("{{{name}}}");
        if !url.contains(&slot) {
            continue;
        }
        let default = variable.text("default").unwrap_or_default().to_owned();
        let listed: Vec<_> =
            variable.get("enum").map(Value::items).unwrap_or_default().iter().filter_map(Value::as_text).collect();
        let mut choices: Vec<String> = listed.iter().map(|choice| (*choice).to_owned()).collect();
        if choices.is_empty() && first_label_is(url, &slot) {
            choices = vec!["*".to_owned()];
        } else if choices.is_empty() || choices.len() * urls.len() > URLS_MAX {
            note(notes, format!("server `{url}`: only the default of the variable `{name}`, `{default}`, is used"));
            choices = vec![default];
        }
        urls = urls.iter().flat_map(|url| choices.iter().map(|choice| url.replace(&slot, choice))).collect();
    }
    urls
}

fn first_label_is(url: &str, slot: &str) -> bool {
    let host = url.split_once("//").and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default();
    host.strip_prefix(slot).is_some_and(|rest| rest.starts_with('.') && rest.split('.').count() > 2)
}

/// Host and base path of a URL.
fn parts(url: &str) -> (Option<String>, String) {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = match url.split_once("//") {
        Some((scheme, rest)) if scheme.is_empty() || scheme.ends_with(':') => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            (Some(authority), path)
        }
        _ => (None, url),
    };
    let host = authority.map(|authority| {
        let name = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_ascii_lowercase();
        match name.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host.to_owned(),
            _ => name,
        }
    });
    let segments = path.split('/').filter(|segment| !segment.is_empty() && *segment != ".");
    let path = segments.fold(String::new(), |path, segment| path + "/" + segment);
    (host.filter(|host| !host.is_empty()), path)
}

#[cfg(test)]
mod tests {
    use super::{super::Shape, *};

    fn read(servers: &str) -> (Vec<String>, Vec<String>) {
        let value = super::super::value::parse(&format!("servers: {servers}"), Shape::All).expect("a value");
        let mut notes = Vec::new();
        let bases = bases(value.get("servers").expect("servers"), &mut notes);
        let bases = bases.iter().map(|base| {
            format!("{}{} {}", base.path, if base.anywhere { " anywhere" } else { "" }, base.hosts.join(" "))
        });
        (bases.map(|base| base.trim().to_owned()).collect(), notes)
    }

    #[test]
    fn urls_are_hosts_and_base_paths() {
        for (servers, bases) in [
            ("[]", vec!["anywhere"]),
            ("[{}]", vec!["anywhere"]),
            ("[{url: /}]", vec!["anywhere"]),
            ("[{url: /v3/}]", vec!["/v3 anywhere"]),
            ("[{url: v3}, {url: ./v3}]", vec!["/v3 anywhere"]),
            ("[{url: 'https://API.example.com:8443/v1/'}]", vec!["/v1 api.example.com"]),
            ("[{url: '//api.example.com'}]", vec!["api.example.com"]),
            (
                "[{url: 'https://a.com/v1'}, {url: 'https://b.com/v1'}, {url: /v2}]",
                vec!["/v1 a.com b.com", "/v2 anywhere"],
            ),
            ("[{url: 'http://[::1]:80/x?y#z'}]", vec!["/x [::1]"]),
            ("[{url: 'https://{t}.example.com/v', variables: {t: {default: demo}}}]", vec!["/v *.example.com"]),
            ("[{url: 'https://h/{b}', variables: {b: {default: v2, enum: [v1, v2]}}}]", vec!["/v1 h", "/v2 h"]),
            ("[{url: 'https://h/{b}', variables: {b: {default: ''}}}]", vec!["h"]),
        ] {
            assert_eq!(read(servers).0, bases, "{servers}");
        }
    }

    #[test]
    fn what_a_variable_may_be_is_bounded_and_said() {
        let (bases, notes) = read("[{url: 'https://h/{b}', variables: {b: {default: v1}}}]");
        assert_eq!((bases, notes.len()), (vec!["/v1 h".to_owned()], 1));
        let many: Vec<_> = (0..40).map(|n| format!("v{n}")).collect();
        let (bases, notes) =
            read(&format!("[{{url: '/{{b}}', variables: {{b: {{default: v1, enum: [{}]}}}}}}]", many.join(",")));
        assert_eq!((bases, notes.len()), (vec!["/v1 anywhere".to_owned()], 1));
    }
}
