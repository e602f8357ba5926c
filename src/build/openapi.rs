//! From `src/openapi.yaml` to the JSON that the server answers at `/openapi.json`: adds what every response has, and the
//! refusals of each route.

use std::collections::BTreeMap;
use std::env;

use yaml_serde::{Mapping, Value};

/// The methods that the API has, as the file writes them.
pub const METHODS: [&str; 3] = ["get", "post", "delete"];

/// The description as it is written.
pub struct Description {
    root: Value,
    /// The status, the meaning and the further members of each code.
    codes: BTreeMap<String, Code>,
}

struct Code {
    status: u64,
    meaning: String,
    members: Mapping,
}

/// A key of a mapping that is known to be there.
pub fn member<'a>(value: &'a Value, key: &str) -> &'a Value {
    let keys = || value.as_mapping().map(|mapping| mapping.keys().collect::<Vec<_>>());
    value.get(key).unwrap_or_else(|| panic!("{} lacks {key} among {:?}", crate::DESCRIPTION, keys()))
}

/// A text that is known to be one.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{} has no text in {value:?}", crate::DESCRIPTION))
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Mapping(members.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

fn reference(to: &str) -> Value {
    object([("$ref", format!("#/components/{to}").into())])
}

impl Description {
    /// Parses the text of the file.
    pub fn parse(yaml: &str) -> Self {
        let mut root: Value =
            yaml_serde::from_str(yaml).unwrap_or_else(|error| panic!("{}: {error}", crate::DESCRIPTION));
        root.apply_merge().unwrap_or_else(|error| panic!("{}: {error}", crate::DESCRIPTION));
        let mut codes = BTreeMap::new();
        for (status, group) in member(&root, "x-codes").as_mapping().expect("x-codes is a mapping") {
            let status = status.as_u64().expect("the keys of x-codes are statuses");
            for (code, meaning) in group.as_mapping().expect("a status of x-codes has codes") {
                let (meaning, members) = match meaning.as_str() {
                    Some(meaning) => (meaning, Mapping::new()),
                    None => (
                        text(member(meaning, "description")),
                        member(meaning, "members").as_mapping().cloned().unwrap_or_default(),
                    ),
                };
                let code_of = Code { status, meaning: meaning.to_owned(), members };
                assert!(codes.insert(text(code).to_owned(), code_of).is_none(), "{code:?} is in x-codes twice");
            }
        }
        let mut description = Self { root, codes };
        let code = description.code_schema();
        schemas_of(&mut description.root).insert("Code".into(), code);
        description
    }

    /// The number of the API.
    pub fn api_version(&self) -> u64 {
        member(member(&self.root, "info"), "x-api-version").as_u64().expect("x-api-version is a number")
    }

    pub fn root(&self) -> &Value {
        &self.root
    }

    /// Each operation: path, method, the path's own parameters, and the operation.
    pub fn operations(&self) -> impl Iterator<Item = (&str, &'static str, &[Value], &Value)> {
        let paths = member(&self.root, "paths").as_mapping().expect("paths is a mapping");
        paths.iter().flat_map(|(path, item)| {
            let shared = item.get("parameters").and_then(Value::as_sequence).map_or(&[][..], Vec::as_slice);
            METHODS.into_iter().filter_map(move |method| Some((text(path), method, shared, item.get(method)?)))
        })
    }

    /// What a reference leads to, or the value itself.
    pub fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        let Some(target) = value.get("$ref") else {
            return value;
        };
        text(target).trim_start_matches("#/").split('/').fold(&self.root, member)
    }

    /// Codes by status and in the order of their names. The names of lists stand for the codes of these.
    pub fn codes_of(&self, names: &Value) -> BTreeMap<u64, Vec<&str>> {
        let mut found = BTreeMap::new();
        self.collect_codes(names, &mut found);
        let mut by_status: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (code, status) in found {
            by_status.entry(status).or_default().push(code);
        }
        by_status
    }

    fn collect_codes<'a>(&'a self, names: &Value, found: &mut BTreeMap<&'a str, u64>) {
        for name in names.as_sequence().unwrap_or_else(|| panic!("x-refusals is no list: {names:?}")) {
            let name = text(name);
            match (self.list(name), self.codes.get_key_value(name)) {
                (Some(list), None) => self.collect_codes(list, found),
                (None, Some((code, Code { status, .. }))) => {
                    found.insert(code, *status);
                }
                (Some(_), Some(_)) => panic!("{name} is a code and a list of codes"),
                (None, None) => panic!("{}: {name} is neither a code nor a list of codes", crate::DESCRIPTION),
            }
        }
    }

    /// The list of codes with this name.
    pub fn list(&self, name: &str) -> Option<&Value> {
        member(&self.root, "x-refusals").get(name)
    }

    /// Every code with its status and meaning.
    pub fn codes(&self) -> impl Iterator<Item = (u64, &str, &str)> {
        let groups = member(&self.root, "x-codes").as_mapping().expect("x-codes is a mapping");
        groups.iter().flat_map(|(_, group)| group.as_mapping().expect("codes")).map(|(code, _)| {
            let Code { status, meaning, .. } = &self.codes[text(code)];
            (*status, text(code), meaning.as_str())
        })
    }

    /// The document of `/openapi.json`, with members in the order of the file.
    pub fn json(&self) -> String {
        let mut root = self.root.clone();
        let top = root.as_mapping_mut().expect("the document is a mapping");
        top.remove("x-codes");
        top.remove("x-refusals");
        let version = env::var("CARGO_PKG_VERSION").expect("cargo sets CARGO_PKG_VERSION");
        top["info"].as_mapping_mut().expect("info is a mapping").insert("version".into(), version.into());
        for response in top["components"]["responses"].as_mapping_mut().expect("a mapping").values_mut() {
            add_api_version(response);
        }
        // Many routes have the same refusals.
        let mut known = BTreeMap::new();
        for item in top["paths"].as_mapping_mut().expect("a mapping").values_mut() {
            for method in METHODS {
                let Some(operation) = item.get_mut(method).and_then(Value::as_mapping_mut) else {
                    continue;
                };
                let refusals = operation.remove("x-refusals").expect("an operation has x-refusals");
                let responses = operation["responses"].as_mapping_mut().expect("an operation has responses");
                for response in responses.values_mut().filter(|response| response.get("$ref").is_none()) {
                    add_api_version(response);
                }
                for (status, codes) in self.codes_of(&refusals) {
                    let number = known.len() + 1;
                    let name = known.entry((status, codes)).or_insert_with(|| format!("Refusal{number}"));
                    responses.insert(status.to_string().into(), reference(&format!("responses/{name}")));
                }
            }
        }
        let responses = top["components"]["responses"].as_mapping_mut().expect("a mapping");
        for ((status, codes), name) in known {
            responses.insert(name.into(), self.refusal(status, &codes));
        }
        serde_json::to_string(&root).expect("YAML with text as keys is JSON")
    }

    fn code_schema(&self) -> Value {
        let codes = self.codes().map(|(status, code, meaning)| {
            object([("const", code.into()), ("description", meaning.into()), ("x-status", status.into())])
        });
        object([
            ("description", "For programs. A code keeps its name and its meaning.".into()),
            ("type", "string".into()),
            ("oneOf", Value::Sequence(codes.collect())),
        ])
    }

    /// The response of a status with these codes.
    fn refusal(&self, status: u64, codes: &[&str]) -> Value {
        let mut properties = Mapping::new();
        properties.insert("error".into(), reference("schemas/Sentence"));
        let names = codes.iter().map(|code| Value::from(*code)).collect();
        properties.insert("code".into(), object([("type", "string".into()), ("enum", Value::Sequence(names))]));
        for code in codes {
            properties.extend(self.codes[*code].members.clone());
        }
        let required = Value::Sequence(vec!["error".into(), "code".into()]);
        let schema =
            object([("type", "object".into()), ("required", required), ("properties", Value::Mapping(properties))]);
        let mut response = object([
            ("description", reason(status).into()),
            ("content", object([("application/json", object([("schema", schema)]))])),
        ]);
        add_api_version(&mut response);
        let headers = response["headers"].as_mapping_mut().expect("headers are a mapping");
        if matches!(status, 429 | 503) {
            headers.insert("Retry-After".into(), reference("headers/Retry-After"));
        }
        if status == 401 {
            headers.insert("WWW-Authenticate".into(), reference("headers/WWW-Authenticate"));
        }
        response
    }
}

fn schemas_of(root: &mut Value) -> &mut Mapping {
    root["components"]["schemas"].as_mapping_mut().expect("schemas is a mapping")
}

/// The reason phrase of a status (RFC 9110, section 15).
fn reason(status: u64) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        507 => "Insufficient Storage",
        _ => panic!("{status} has no reason phrase here"),
    }
}

fn add_api_version(response: &mut Value) {
    let response = response.as_mapping_mut().expect("a response is a mapping");
    let headers = response.entry("headers".into()).or_insert_with(|| Value::Mapping(Mapping::new()));
    let headers = headers.as_mapping_mut().expect("headers are a mapping");
    headers.insert("API-Version".into(), reference("headers/API-Version"));
}
