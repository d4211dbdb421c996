//! Reads the operations of a document.

use super::{Api, Base, Operation, Value, encoded_slash, refs::resolved, security, servers};

/// The members of a path item that are operations, in OpenAPI 3.2 and therefore also in 3.0 and 3.1.
pub(super) const METHODS: [&str; 9] = ["get", "put", "post", "delete", "options", "head", "patch", "trace", "query"];

pub(super) fn api(root: &Value) -> Result<Api, String> {
    let openapi = version(root)?;
    let info = |key| root.get("info").and_then(|info| info.get(key));
    let title = [info("title"), info("version")].into_iter().flatten().map(|value| match value {
        Value::Number(number) => number.to_string(),
        value => value.as_text().unwrap_or_default().to_owned(),
    });
    let title = title.collect::<Vec<_>>().join(" ");
    let mut notes = Vec::new();
    let bases = servers::bases(root.get("servers").unwrap_or(&Value::Null), &mut notes);
    let mut reader = Reader { root, bases, operations: Vec::new(), notes };
    for (path, item) in root.get("paths").map(Value::entries).unwrap_or_default() {
        reader.path(path, item);
    }
    let Reader { operations, notes, .. } = reader;
    if operations.is_empty() {
        return Err("the document has no operations under `paths`".to_owned());
    }
    Ok(Api { title, openapi, operations, schemes: security::schemes(root), notes })
}

fn version(root: &Value) -> Result<String, String> {
    match (root.get("openapi"), root.get("swagger")) {
        (Some(Value::Text(version)), _) if version.starts_with("3.") => Ok(version.clone()),
        // A number, as in YAML `openapi: 3.1`.
        (Some(Value::Number(version)), _) if (3.0..4.0).contains(version) => Ok(version.to_string()),
        (Some(version), _) => {
            let version = version.as_text().unwrap_or("something else").escape_debug();
            Err(format!("expected OpenAPI 3.0, 3.1 or 3.2, found `openapi: {version}`"))
        }
        (None, Some(_)) => Err("this is Swagger 2.0; convert it to OpenAPI 3 first".to_owned()),
        (None, None) => Err("this is not an OpenAPI document: it has no member `openapi`".to_owned()),
    }
}

struct Reader<'v> {
    root: &'v Value,
    bases: Vec<Base>,
    operations: Vec<Operation>,
    notes: Vec<String>,
}

impl<'v> Reader<'v> {
    fn path(&mut self, path: &str, item: &'v Value) {
        let linked = match resolved(self.root, item) {
            Ok(linked) => linked,
            Err(error) => return self.unreadable(path, item, error),
        };
        if !matches!(linked, Value::Object(_)) {
            return self.unreadable(path, item, format!("the path is {}, not an object", linked.kind()));
        }
        // Members next to `$ref` override those of its target.
        let own: &[_] = if std::ptr::eq(item, linked) { &[] } else { item.entries() };
        let mut seen = Vec::new();
        for (key, value) in own.iter().chain(linked.entries()) {
            if METHODS.contains(&key.as_str()) && !seen.contains(key) {
                seen.push(key.clone());
                self.operation(key.to_ascii_uppercase(), path, [item, linked], value);
            }
        }
        for (method, value) in linked.get("additionalOperations").map(Value::entries).unwrap_or_default() {
            self.operation(method.clone(), path, [item, linked], value);
        }
    }

    fn unreadable(&mut self, path: &str, item: &Value, error: String) {
        let bases = self.bases_of(&[item]);
        let security = security::security(&Value::Null, &Value::Null);
        self.operations.push(Operation {
            method: None,
            path: path.to_owned(),
            id: None,
            summary: None,
            bases,
            security,
            encoded_slash: None,
            error: Some(error),
        });
    }

    fn operation(&mut self, method: String, path: &str, items: [&'v Value; 2], value: &'v Value) {
        let [item, linked] = items;
        let parameters = self.path_parameters(&[value, linked]);
        let error = match value {
            Value::Object(_) => hidden_delimiter(&parameters),
            value => Some(format!("the operation is {}, not an object", value.kind())),
        };
        let text = |key| value.text(key).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let bases = self.bases_of(&[value, item, linked]);
        self.operations.push(Operation {
            method: Some(method),
            path: path.to_owned(),
            id: text("operationId"),
            summary: text("summary"),
            bases,
            security: security::security(value, self.root),
            encoded_slash: encoded_slash::suggested(path, &parameters),
            error,
        });
    }

    /// The servers of the first holder that has some, or those of the document.
    fn bases_of(&mut self, holders: &[&Value]) -> Vec<Base> {
        let own = holders.iter().find_map(|holder| holder.get("servers").filter(|list| !list.items().is_empty()));
        own.map_or_else(|| self.bases.clone(), |list| servers::bases(list, &mut self.notes))
    }

    fn path_parameters(&self, holders: &[&'v Value]) -> Vec<&'v Value> {
        let parameters =
            holders.iter().flat_map(|holder| holder.get("parameters").map(Value::items).unwrap_or_default());
        let parameters = parameters.filter_map(|parameter| resolved(self.root, parameter).ok());
        parameters.filter(|parameter| parameter.text("in") == Some("path")).collect()
    }
}

/// `style: matrix` writes `;name=value`, and the filter refuses paths with `;`.
fn hidden_delimiter(path_parameters: &[&Value]) -> Option<String> {
    let matrix = path_parameters.iter().find(|parameter| parameter.text("style") == Some("matrix"))?;
    let name = matrix.text("name").unwrap_or_default();
    Some(format!("the parameter `{name}` is written as `;{name}=…` (style: matrix), and paths with `;` are refused"))
}
