//! The description of the API, with which each answer is compared.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jsonschema::{Registry, Validator};
use minimost_calls::openapi::JSON;
use serde_json::{Map, Value, json};

/// The address by which schemas refer to the document.
const ADDRESS: &str = "urn:minimost-calls:openapi";

/// The document. Its objects have no more members than they list: clients have to expect new ones, the tests do not.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = serde_json::from_str(JSON).unwrap();
    close_objects(&mut document);
    document
});

static REGISTRY: LazyLock<Registry<'static>> =
    LazyLock::new(|| Registry::new().add(ADDRESS, DOCUMENT.clone()).unwrap().prepare().unwrap());

/// The schemas that were used, by their pointer.
static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

fn close_objects(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(close_objects);
            // `properties` can also be the name of a member.
            if members.get("properties").is_some_and(Value::is_object) && !members.contains_key("additionalProperties")
            {
                members.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close_objects),
        _ => {}
    }
}

/// A route of the document.
#[derive(Clone, Copy)]
pub struct Operation {
    pub path: &'static str,
    /// In upper case.
    pub method: &'static str,
    pub value: &'static Value,
}

/// Every path, with the item of the document.
pub fn paths() -> &'static Map<String, Value> {
    DOCUMENT["paths"].as_object().unwrap()
}

/// Every route.
pub fn operations() -> Vec<Operation> {
    let methods = [("GET", "get"), ("POST", "post"), ("DELETE", "delete")];
    let of_path = |(path, item): (&'static String, &'static Value)| {
        methods.into_iter().filter_map(move |(method, key)| Some(Operation { path, method, value: item.get(key)? }))
    };
    paths().iter().flat_map(of_path).collect()
}

/// What a reference leads to, or the value itself.
pub fn resolve(value: &'static Value) -> &'static Value {
    let target = value["$ref"].as_str();
    target.map_or(value, |target| DOCUMENT.pointer(&target[1..]).unwrap_or_else(|| panic!("{target} leads nowhere")))
}

/// The parameters of a route, with those of its path.
pub fn parameters(operation: Operation) -> Vec<&'static Value> {
    let of = |value: &'static Value| value["parameters"].as_array().into_iter().flatten().map(resolve);
    of(&paths()[operation.path]).chain(of(operation.value)).collect()
}

impl Operation {
    /// What a status answers. `None` if the document does not list it.
    pub fn response(&self, status: u16) -> Option<(String, &'static Value)> {
        let response = self.value["responses"].get(status.to_string())?;
        let Some(target) = response.get("$ref") else {
            let path = self.path.replace('~', "~0").replace('/', "~1");
            let method = self.method.to_lowercase();
            return Some((format!("/paths/{path}/{method}/responses/{status}"), response));
        };
        let pointer = target.as_str().unwrap().trim_start_matches('#').to_owned();
        let response = DOCUMENT.pointer(&pointer).unwrap_or_else(|| panic!("{pointer} leads nowhere"));
        Some((pointer, response))
    }

    /// The codes of its refusals, by status.
    pub fn codes(&self) -> Vec<(u16, &'static str)> {
        let statuses = self.value["responses"].as_object().unwrap().keys().map(|status| status.parse().unwrap());
        let of_status = |status: u16| {
            let (_, response) = self.response(status).unwrap();
            let codes = &response["content"]["application/json"]["schema"]["properties"]["code"]["enum"];
            codes.as_array().into_iter().flatten().map(move |code| (status, code.as_str().unwrap()))
        };
        statuses.filter(|status| *status >= 400).flat_map(of_status).collect()
    }
}

/// The path of the document for the path of a request. A literal path counts before one with variables.
pub fn template(path: &str) -> Option<&'static str> {
    let fits = |template: &&String| {
        let (mut expected, mut found) = (template.split('/'), path.split('/'));
        loop {
            match (expected.next(), found.next()) {
                // It may have slashes.
                (Some("{file}"), Some(_)) => return true,
                (Some(variable), Some(segment)) if variable.starts_with('{') && !segment.is_empty() => {}
                (expected, found) if expected != found => return false,
                (None, None) => return true,
                _ => {}
            }
        }
    };
    let fitting = paths().keys().filter(fits);
    fitting.min_by_key(|template| template.matches('{').count()).map(String::as_str)
}

/// Fails unless the document has this answer: the status, the type of the content, and of JSON every member.
pub fn assert_described(method: &str, path: &str, status: u16, content_type: Option<&str>, body: Option<&Value>) {
    let request = format!("{method} {path}");
    let code = body.and_then(|body| body["code"].as_str());
    let method = if method == "HEAD" { "GET" } else { method };
    // These precede the route.
    let precedes = status == 400 && matches!(code, Some("bad_host" | "bad_target" | "https_needed"));
    let Some(template) = template(path) else {
        assert!(precedes || status == 404, "{request}, which the document does not have, answers {status}");
        assert!(precedes || code.is_none_or(|code| code == "not_found"), "{request} answers {code:?}");
        return;
    };
    let Some(operation) =
        operations().into_iter().find(|operation| (operation.path, operation.method) == (template, method))
    else {
        let refused = match status {
            405 => code.is_none_or(|code| code == "method_not_allowed"),
            // A page that does not exist has no methods either.
            404 => template.contains('{') && code.is_none_or(|code| code == "not_found"),
            _ => false,
        };
        assert!(refused || precedes || (status, method) == (204, "OPTIONS"), "{request} answers {status} {code:?}");
        return;
    };
    let Some((pointer, response)) = operation.response(status) else {
        panic!("{request} answers {status} {code:?}, which the document does not have");
    };
    let Some(body) = body else {
        return;
    };
    let media_type = content_type.map(|content_type| content_type.split(';').next().unwrap_or_default().trim());
    let media_type = media_type.unwrap_or_default();
    assert!(response["content"].get(media_type).is_some(), "{request}: {status} has the type {media_type:?}");
    let media_type = media_type.replace('/', "~1");
    assert_valid(&request, &format!("{pointer}/content/{media_type}/schema"), body);
}

/// Fails unless the document has this event.
pub fn assert_event_described(name: &str, data: &Value) {
    let pointer = format!("/components/schemas/EventData/properties/{name}");
    assert!(DOCUMENT.pointer(&pointer).is_some(), "the document has no event {name}");
    assert_valid(&format!("event {name}"), &pointer, data);
}

/// Fails unless the value fits the schema at this pointer.
fn assert_valid(what: &str, pointer: &str, value: &Value) {
    let validator = {
        let mut validators = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
        let build = || {
            let pointer: String = pointer.chars().map(encoded).collect();
            let schema = json!({ "$ref": format!("{ADDRESS}#{pointer}") });
            Arc::new(jsonschema::options().with_registry(&REGISTRY).build(&schema).unwrap())
        };
        Arc::clone(validators.entry(pointer.to_owned()).or_insert_with(build))
    };
    let errors: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{what} is not as the document has it:\n{}\n{value}", errors.join("\n"));
}

/// A letter of a pointer in a fragment (RFC 6901, section 6).
fn encoded(letter: char) -> String {
    match letter {
        '{' => "%7B".to_owned(),
        '}' => "%7D".to_owned(),
        other => other.to_string(),
    }
}
