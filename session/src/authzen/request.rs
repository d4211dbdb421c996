//! What is asked: read strictly where the standard names a member and its type, and openly everywhere else.

use super::fault::Fault;
use serde_json::{Map, Value};

/// Evaluations of one request.
const EVALUATIONS_MAX: usize = 100;

/// A subject or a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entity {
    pub(super) kind: String,
    pub(super) id: String,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Evaluation {
    pub(super) subject: Entity,
    /// The action's name.
    pub(super) action: String,
    pub(super) resource: Entity,
    /// What else is known of the request.
    pub(super) context: Map<String, Value>,
}

/// When the rest of the evaluations is not needed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Semantic {
    ExecuteAll,
    DenyOnFirstDeny,
    PermitOnFirstPermit,
}

impl Semantic {
    /// Whether nothing is asked after this decision.
    pub(super) const fn ends_with(self, decision: bool) -> bool {
        match self {
            Self::ExecuteAll => false,
            Self::DenyOnFirstDeny => !decision,
            Self::PermitOnFirstPermit => decision,
        }
    }
}

/// What is asked at once.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Batch {
    /// One question, which is answered like any.
    One(Evaluation),
    /// Several, some of which may not be questions.
    Several(Vec<Result<Evaluation, Fault>>, Semantic),
}

/// The parts of a question, as far as they are there.
#[derive(Debug, Clone, Default)]
struct Parts {
    subject: Option<Entity>,
    action: Option<String>,
    resource: Option<Entity>,
    context: Option<Map<String, Value>>,
}

impl Evaluation {
    /// Reads the body of an Access Evaluation request.
    pub(super) fn read(body: &[u8]) -> Result<Self, Fault> {
        Parts::read(&object(body)?)?.whole()
    }
}

impl Batch {
    /// Reads the body of an Access Evaluations request.
    pub(super) fn read(body: &[u8]) -> Result<Self, Fault> {
        let body = object(body)?;
        // What is there at the top level must be whole, also where every evaluation has its own.
        let defaults = Parts::read(&body)?;
        let semantic = semantic(&body)?;
        match body.get("evaluations") {
            None => defaults.whole().map(Self::One),
            Some(Value::Array(list)) if list.is_empty() => defaults.whole().map(Self::One),
            Some(Value::Array(list)) if list.len() > EVALUATIONS_MAX => {
                Err(Fault::invalid(format!("`evaluations` has more than {EVALUATIONS_MAX} entries")))
            }
            Some(Value::Array(list)) => {
                let read = |item: &Value| match item {
                    Value::Object(item) => Ok(Parts::read(item).and_then(|parts| parts.or(&defaults).whole())),
                    _ => Err(Fault::invalid("an entry of `evaluations` is not an object")),
                };
                Ok(Self::Several(list.iter().map(read).collect::<Result<_, _>>()?, semantic))
            }
            Some(_) => Err(Fault::invalid("`evaluations` is not a list")),
        }
    }
}

impl Parts {
    fn read(from: &Map<String, Value>) -> Result<Self, Fault> {
        let context = match from.get("context") {
            None => None,
            Some(Value::Object(context)) => Some(context.clone()),
            Some(_) => return Err(Fault::invalid("`context` is not an object")),
        };
        Ok(Self {
            context,
            subject: entity(from, "subject")?,
            action: member(from, "action")?.map(|action| text(action, "action", "name")).transpose()?,
            resource: entity(from, "resource")?,
        })
    }

    /// The same, with what is not there taken from the defaults: a part as a whole.
    fn or(self, defaults: &Self) -> Self {
        Self {
            subject: self.subject.or_else(|| defaults.subject.clone()),
            action: self.action.or_else(|| defaults.action.clone()),
            resource: self.resource.or_else(|| defaults.resource.clone()),
            context: self.context.or_else(|| defaults.context.clone()),
        }
    }

    fn whole(self) -> Result<Evaluation, Fault> {
        let missing = |what| Fault::invalid(format!("`{what}` is missing"));
        Ok(Evaluation {
            subject: self.subject.ok_or_else(|| missing("subject"))?,
            action: self.action.ok_or_else(|| missing("action"))?,
            resource: self.resource.ok_or_else(|| missing("resource"))?,
            context: self.context.unwrap_or_default(),
        })
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Fault> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Fault::invalid("the body is not an object")),
        // The parser's words may repeat the body.
        Err(error) => {
            Err(Fault::invalid(format!("the body is not JSON (line {}, column {})", error.line(), error.column())))
        }
    }
}

fn semantic(body: &Map<String, Value>) -> Result<Semantic, Fault> {
    let Some(options) = body.get("options") else { return Ok(Semantic::ExecuteAll) };
    let Value::Object(options) = options else { return Err(Fault::invalid("`options` is not an object")) };
    match options.get("evaluations_semantic") {
        None => Ok(Semantic::ExecuteAll),
        Some(Value::String(name)) if name == "execute_all" => Ok(Semantic::ExecuteAll),
        Some(Value::String(name)) if name == "deny_on_first_deny" => Ok(Semantic::DenyOnFirstDeny),
        Some(Value::String(name)) if name == "permit_on_first_permit" => Ok(Semantic::PermitOnFirstPermit),
        Some(_) => Err(Fault::invalid(
            "`options.evaluations_semantic` is neither `execute_all`, `deny_on_first_deny` nor `permit_on_first_permit`",
        )),
    }
}

/// A member that is an object, with `properties` of the right type if there are any.
fn member<'a>(from: &'a Map<String, Value>, name: &str) -> Result<Option<&'a Map<String, Value>>, Fault> {
    match from.get(name) {
        None => Ok(None),
        Some(Value::Object(object)) if object.get("properties").is_some_and(|properties| !properties.is_object()) => {
            Err(Fault::invalid(format!("`{name}.properties` is not an object")))
        }
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(Fault::invalid(format!("`{name}` is not an object"))),
    }
}

fn entity(from: &Map<String, Value>, name: &str) -> Result<Option<Entity>, Fault> {
    let Some(object) = member(from, name)? else { return Ok(None) };
    Ok(Some(Entity { kind: text(object, name, "type")?, id: text(object, name, "id")? }))
}

fn text(of: &Map<String, Value>, name: &str, key: &str) -> Result<String, Fault> {
    match of.get(key) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(Fault::invalid(format!("`{name}.{key}` is not a string"))),
        None => Err(Fault::invalid(format!("`{name}.{key}` is missing"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn evaluation(subject: &str, action: &str, resource: &str) -> Evaluation {
        let entity = |kind: &str, id: &str| Entity { kind: kind.to_owned(), id: id.to_owned() };
        let (subject, resource) = (entity("user", subject), entity("record", resource));
        Evaluation { subject, action: action.to_owned(), resource, context: Map::new() }
    }

    fn alice() -> Value {
        json!({"type": "user", "id": "alice"})
    }

    fn record() -> Value {
        json!({"type": "record", "id": "record-1"})
    }

    fn batch(body: Value) -> Result<Batch, String> {
        Batch::read(body.to_string().as_bytes()).map_err(|fault| fault.message())
    }

    #[test]
    fn what_the_standard_does_not_name_is_ignored() {
        let body = json!({
            "subject": {"type": "user", "id": "alice", "properties": {"role": "manager"}, "more": 1},
            "action": {"name": "read", "properties": {"method": "GET"}},
            "resource": {"type": "record", "id": "record-1", "properties": {}},
            "context": {"ip": "192.0.2.1"}, "foo": "bar", "futureField": {"nested": true},
        });
        let context = Map::from_iter([("ip".to_owned(), json!("192.0.2.1"))]);
        let wanted = Evaluation { context, ..evaluation("alice", "read", "record-1") };
        assert_eq!(Evaluation::read(body.to_string().as_bytes()), Ok(wanted));
    }

    #[test]
    fn every_member_that_is_missing_or_of_another_type_is_named() {
        for (part, wrong, wanted) in [
            ("subject", None, "`subject` is missing"),
            ("action", None, "`action` is missing"),
            ("resource", None, "`resource` is missing"),
            ("subject", Some(json!("alice")), "`subject` is not an object"),
            ("subject", Some(json!(null)), "`subject` is not an object"),
            ("subject", Some(json!({"id": "alice"})), "`subject.type` is missing"),
            ("subject", Some(json!({"type": "user"})), "`subject.id` is missing"),
            ("subject", Some(json!({"type": "user", "id": 7})), "`subject.id` is not a string"),
            (
                "subject",
                Some(json!({"type": "user", "id": "a", "properties": []})),
                "`subject.properties` is not an object",
            ),
            ("action", Some(json!({})), "`action.name` is missing"),
            ("action", Some(json!({"name": 123})), "`action.name` is not a string"),
            ("resource", Some(json!({"id": "record-1"})), "`resource.type` is missing"),
            ("resource", Some(json!({"type": "record"})), "`resource.id` is missing"),
            ("context", Some(json!([])), "`context` is not an object"),
        ] {
            let mut body = json!({"subject": alice(), "action": {"name": "read"}, "resource": record()});
            match wrong {
                Some(wrong) => body[part] = wrong,
                None => drop(body.as_object_mut().unwrap().remove(part)),
            }
            let fault = Evaluation::read(body.to_string().as_bytes()).expect_err(wanted);
            assert_eq!((fault.message().as_str(), fault.status().as_u16()), (wanted, 400));
            assert_eq!(batch(body).expect_err(wanted), wanted, "without evaluations, they are the same");
        }
        for body in ["", "{", "[]", "7", "null"] {
            assert_eq!(Evaluation::read(body.as_bytes()).expect_err(body).status().as_u16(), 400, "{body}");
        }
    }

    #[test]
    fn an_evaluation_inherits_each_part_that_it_lacks_as_a_whole() {
        let read = batch(json!({
            "subject": alice(), "action": {"name": "read"}, "resource": record(),
            "evaluations": [
                {}, {"resource": {"type": "record", "id": "record-2"}}, {"action": {"name": "write"}},
                {"subject": {"type": "user"}}, {"subject": {"type": "user", "id": "bob"}},
            ],
        }));
        let Ok(Batch::Several(list, Semantic::ExecuteAll)) = read else { panic!("{read:?}") };
        let wanted = [
            Ok(evaluation("alice", "read", "record-1")),
            Ok(evaluation("alice", "read", "record-2")),
            Ok(evaluation("alice", "write", "record-1")),
            Err(Fault::invalid("`subject.id` is missing")),
            Ok(evaluation("bob", "read", "record-1")),
        ];
        assert_eq!(list, wanted);
    }

    #[test]
    fn a_batch_ends_where_its_semantic_has_what_it_needs() {
        for (semantic, after_permit, after_deny) in [
            (Semantic::ExecuteAll, false, false),
            (Semantic::DenyOnFirstDeny, false, true),
            (Semantic::PermitOnFirstPermit, true, false),
        ] {
            assert_eq!(
                (semantic.ends_with(true), semantic.ends_with(false)),
                (after_permit, after_deny),
                "{semantic:?}"
            );
        }
    }

    #[test]
    fn without_evaluations_a_batch_is_one_question() {
        let whole = json!({"subject": alice(), "action": {"name": "read"}, "resource": record()});
        let mut empty = whole.clone();
        empty["evaluations"] = json!([]);
        for body in [whole, empty] {
            assert_eq!(batch(body), Ok(Batch::One(evaluation("alice", "read", "record-1"))));
        }
        assert_eq!(batch(json!({"subject": alice(), "evaluations": []})).unwrap_err(), "`action` is missing");
    }

    #[test]
    fn a_batch_that_is_wrong_as_a_whole_is_refused_as_a_whole() {
        let item = json!({"subject": alice(), "action": {"name": "read"}, "resource": record()});
        for (body, wanted) in [
            (json!({"evaluations": {}}), "`evaluations` is not a list"),
            (json!({"evaluations": [item, 7]}), "an entry of `evaluations` is not an object"),
            (json!({"evaluations": vec![item.clone(); 101]}), "`evaluations` has more than 100 entries"),
            (json!({"subject": "alice", "evaluations": [item]}), "`subject` is not an object"),
            (json!({"options": 1, "evaluations": [item]}), "`options` is not an object"),
            (
                json!({"options": {"evaluations_semantic": "some"}, "evaluations": [item]}),
                "`options.evaluations_semantic` is neither `execute_all`, `deny_on_first_deny` nor `permit_on_first_permit`",
            ),
        ] {
            assert_eq!(batch(body).unwrap_err(), wanted);
        }
        for (name, wanted) in [
            ("execute_all", Semantic::ExecuteAll),
            ("deny_on_first_deny", Semantic::DenyOnFirstDeny),
            ("permit_on_first_permit", Semantic::PermitOnFirstPermit),
        ] {
            let options = json!({"evaluations_semantic": name, "another": true});
            let read = batch(json!({"options": options, "evaluations": [item]}));
            assert!(matches!(read, Ok(Batch::Several(_, semantic)) if semantic == wanted), "{name}");
        }
    }
}
