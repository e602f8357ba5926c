//! From `src/openapi.yaml` to the tables of `/docs/api`, as Markdown.

use std::fmt::Write as _;

use yaml_serde::Value;

use super::openapi::{Description, member, text};

/// Every route by its tag: an overview, and a section for each.
pub fn routes(description: &Description) -> String {
    let mut page = String::new();
    for tag in member(description.root(), "tags").as_sequence().expect("tags is a list") {
        let name = text(member(tag, "name"));
        let of_tag: Vec<_> = description.operations().filter(|(_, _, _, operation)| is_of(operation, name)).collect();
        assert!(!of_tag.is_empty(), "no operation has the tag {name}");
        line(
            &mut page,
            &format!("### {name}\n\n{}\n\n| route | what it does |\n| --- | --- |", text(member(tag, "description"))),
        );
        for (path, method, _, operation) in &of_tag {
            let heading = heading(method, path);
            line(
                &mut page,
                &format!("| [`{heading}`](#{}) | {} |", anchor(&heading), text(member(operation, "summary"))),
            );
        }
        line(&mut page, "");
        for (path, method, shared, operation) in of_tag {
            section(description, &mut page, &heading(method, path), shared, operation);
        }
    }
    let operations = description.operations().count();
    let with_tag = page.matches("\n#### ").count();
    assert_eq!(operations, with_tag, "each operation has one known tag");
    page
}

fn is_of(operation: &Value, tag: &str) -> bool {
    member(operation, "tags").as_sequence().is_some_and(|tags| tags.iter().any(|name| text(name) == tag))
}

fn line(page: &mut String, text: &str) {
    page.push_str(text);
    page.push('\n');
}

fn heading(method: &str, path: &str) -> String {
    format!("{} {path}", method.to_uppercase())
}

/// The id that the page gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn section(description: &Description, page: &mut String, heading: &str, shared: &[Value], operation: &Value) {
    line(page, &format!("#### `{heading}`\n\n{}.", text(member(operation, "summary"))));
    if let Some(more) = operation.get("description") {
        line(page, text(more));
    }
    line(page, callers(operation));
    line(page, "| in | name | value | meaning |\n| --- | --- | --- | --- |");
    let own = operation.get("parameters").and_then(Value::as_sequence).map_or(&[][..], Vec::as_slice);
    for parameter in shared.iter().chain(own).map(|parameter| description.resolve(parameter)) {
        let place = text(member(parameter, "in"));
        let mut value = value_of(member(parameter, "schema"));
        if place != "path" && parameter.get("required").is_some() {
            value.push_str(", required");
        }
        let meaning = text(member(parameter, "description"));
        row(page, place, text(member(parameter, "name")), &value, meaning);
    }
    if let Some(body) = operation.get("requestBody") {
        content(description, page, "body", description.resolve(body));
    }
    for (status, response) in member(operation, "responses").as_mapping().expect("responses is a mapping") {
        content(description, page, text(status), description.resolve(response));
    }
    line(page, &format!("\n{}\n", refusals(description, member(operation, "x-refusals"))));
}

/// Who may send the request, unless a session is needed.
fn callers(operation: &Value) -> &'static str {
    match operation.get("security").and_then(Value::as_sequence).map(Vec::len) {
        None => "",
        Some(0) => "It needs no authentication.\n",
        Some(_) => "A token is optional.\n",
    }
}

fn row(page: &mut String, place: &str, name: &str, value: &str, meaning: &str) {
    let name = if name.is_empty() { String::new() } else { format!("`{name}`") };
    line(page, &format!("| {place} | {name} | {value} | {meaning} |"));
}

/// The rows of a body: of each member of an object that stands here, else one.
fn content(description: &Description, page: &mut String, place: &str, body: &Value) {
    let meaning = body.get("description").map_or("", text);
    let Some(content) = body.get("content").and_then(Value::as_mapping) else {
        return row(page, place, "", "no body", meaning);
    };
    for (media_type, content) in content {
        match content.get("schema").filter(|_| text(media_type) == "application/json") {
            Some(schema) if schema.get("properties").is_some() => {
                if place == "body" && !meaning.is_empty() {
                    row(page, place, "", "object", meaning);
                }
                for (name, value, meaning) in members(description, schema, place == "body") {
                    row(page, place, &name, &value, &meaning);
                }
            }
            Some(schema) => row(page, place, "", &value_of(schema), meaning),
            None => row(page, place, "", &format!("`{}`", text(media_type)), meaning),
        }
    }
}

/// Name, value and meaning of the members of an object. In a body, those that may be missing are marked.
fn members(description: &Description, schema: &Value, marks: bool) -> Vec<(String, String, String)> {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_sequence)
        .map_or(Vec::new(), |names| names.iter().map(text).collect());
    let properties = member(schema, "properties").as_mapping().expect("properties is a mapping");
    let members = properties.iter().map(|(name, value)| {
        let name = text(name);
        let mut shown = value_of(value);
        if marks && !required.contains(&name) {
            shown.push_str(", optional");
        }
        let meaning = value.get("description").or_else(|| description.resolve(value).get("description"));
        let is_schema_of_its_own = value.get("$ref").is_some();
        let meaning = meaning.filter(|_| !is_schema_of_its_own).map_or("", text);
        (name.to_owned(), shown, meaning.to_owned())
    });
    members.collect()
}

/// A schema in words.
fn value_of(schema: &Value) -> String {
    if let Some(target) = schema.get("$ref") {
        let name = text(target).rsplit('/').next().unwrap_or_default();
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(value) = schema.get("const") {
        return literal(value);
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_sequence) {
        return values.iter().map(literal).collect::<Vec<_>>().join(", ");
    }
    if let Some(schemas) = schema.get("oneOf").and_then(Value::as_sequence) {
        return schemas.iter().map(value_of).collect::<Vec<_>>().join(" or ");
    }
    let mut words = match schema.get("type") {
        Some(Value::String(kind)) => type_in_words(kind, schema),
        Some(Value::Sequence(kinds)) => {
            kinds.iter().map(|kind| type_in_words(text(kind), schema)).collect::<Vec<_>>().join(" or ")
        }
        _ => "any JSON".to_owned(),
    };
    let bound =
        |name: &str| schema.get(name).map(|bound| yaml_serde::to_string(bound).unwrap_or_default().trim().to_owned());
    for (lowest, highest, unit) in
        [("minimum", "maximum", ""), ("minLength", "maxLength", " characters"), ("minItems", "maxItems", " items")]
    {
        let range = match (bound(lowest), bound(highest)) {
            (Some(lowest), Some(highest)) => format!(", {lowest} to {highest}{unit}"),
            (Some(lowest), None) => format!(", at least {lowest}{unit}"),
            (None, Some(highest)) => format!(", at most {highest}{unit}"),
            (None, None) => continue,
        };
        words.push_str(&range);
    }
    if let Some(pattern) = schema.get("pattern") {
        write!(words, ", `{}`", text(pattern)).expect("writing to a String never fails");
    }
    if let Some(encoding) = schema.get("contentEncoding") {
        write!(words, " in {}", text(encoding)).expect("writing to a String never fails");
    }
    if let Some(default) = bound("default") {
        write!(words, ", {default} without it").expect("writing to a String never fails");
    }
    words
}

fn type_in_words(kind: &str, schema: &Value) -> String {
    match (kind, schema.get("items"), schema.get("additionalProperties")) {
        ("array", Some(items), _) => format!("list of {}", value_of(items)),
        ("object", _, Some(values @ Value::Mapping(_))) => format!("object of {}", value_of(values)),
        _ => kind.to_owned(),
    }
}

fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        Value::Bool(flag) => format!("`{flag}`"),
        Value::Null => "null".to_owned(),
        other => panic!("no literal: {other:?}"),
    }
}

/// The refusals of a route: the lists, and by status the codes of its own.
fn refusals(description: &Description, names: &Value) -> String {
    let names = names.as_sequence().expect("x-refusals is a list");
    let (lists, codes): (Vec<_>, Vec<_>) =
        names.iter().cloned().partition(|name| description.list(text(name)).is_some());
    let lists = lists.iter().map(|name| format!("[{}](#lists-of-refusals)", text(name))).collect::<Vec<_>>().join(", ");
    let codes = description.codes_of(&Value::Sequence(codes));
    let codes = codes.iter().map(|(status, codes)| codes_in_words(*status, codes));
    let parts = Some(lists).filter(|lists| !lists.is_empty()).into_iter().chain(codes);
    format!("Refusals: {}.", parts.collect::<Vec<_>>().join("; "))
}

fn codes_in_words(status: u64, codes: &[&str]) -> String {
    let codes: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
    format!("{status} {}", codes.join(", "))
}

/// The lists of refusals.
pub fn lists(description: &Description) -> String {
    let mut page = "| list | refusals |\n| --- | --- |\n".to_owned();
    for (name, codes) in member(description.root(), "x-refusals").as_mapping().expect("x-refusals is a mapping") {
        let codes = description.codes_of(codes);
        let codes: Vec<String> = codes.iter().map(|(status, codes)| codes_in_words(*status, codes)).collect();
        line(&mut page, &format!("| {} | {} |", text(name), codes.join("; ")));
    }
    page
}

/// Every code, with status and meaning.
pub fn codes(description: &Description) -> String {
    let mut page = "| status | code | meaning |\n| --- | --- | --- |\n".to_owned();
    for (status, code, meaning) in description.codes() {
        line(&mut page, &format!("| {status} | `{code}` | {meaning} |"));
    }
    page
}

/// Every schema: a table of the words, and a section for each object.
pub fn schemas(description: &Description) -> String {
    let schemas = member(member(description.root(), "components"), "schemas").as_mapping().expect("a mapping");
    let mut page = String::new();
    for (name, schema) in schemas {
        let name = text(name);
        line(&mut page, &format!("#### {name}\n"));
        let meaning = schema.get("description").map_or("", text);
        if name == "Code" {
            line(&mut page, &format!("{meaning} See [all codes](#errors).\n"));
            continue;
        }
        if schema.get("properties").is_none() {
            let words = value_of(schema);
            line(
                &mut page,
                &if meaning.is_empty() { format!("One of {words}.\n") } else { format!("{meaning} ({words})\n") },
            );
            continue;
        }
        if !meaning.is_empty() {
            line(&mut page, &format!("{meaning}\n"));
        }
        line(&mut page, "| member | value | meaning |\n| --- | --- | --- |");
        for (name, value, meaning) in members(description, schema, true) {
            line(&mut page, &format!("| `{name}` | {value} | {meaning} |"));
        }
        line(&mut page, "");
    }
    page
}
