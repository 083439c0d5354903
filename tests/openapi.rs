//! `docs/openapi.json` is the document of the routes, its schemas are those of the wire types, and
//! its examples are what they say. A route cannot be added without its description: only
//! `substrate/http.rs` hands routes to the router.
//!
//! After a change of a route: `UPDATE_DOCS=1 cargo test --test openapi`, then read the difference as
//! a caller would. That the running process answers exactly these paths is in `tests/e2e/routes.rs`.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fraudplat::contracts::code::Code;
use fraudplat::contracts::schema;
use serde_json::{Value, json};

const REGENERATE: &str = "UPDATE_DOCS=1 cargo test --test openapi";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_committed_document_is_that_of_the_routes() {
    let path = root().join("docs/openapi.json");
    let mut text = serde_json::to_string_pretty(&fraudplat::app::document()).unwrap();
    text.push('\n');
    if std::env::vars_os().any(|(name, _)| name == "UPDATE_DOCS") {
        fs::write(&path, &text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let is_same = committed == text;
    assert!(
        is_same,
        "docs/openapi.json is not what the routes say; run {REGENERATE}"
    );
}

#[test]
fn a_route_comes_with_its_description() {
    let mut undescribed = Vec::new();
    let mut open = vec![root().join("src")];
    let mut described = 0;
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|it| it.unwrap().path()));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        match path.ends_with("substrate/http.rs") {
            true => described += text.matches(".route(").count(),
            false if adds_a_route(&text) => undescribed.push(path),
            false => {}
        }
    }
    assert_eq!(
        undescribed,
        Vec::<PathBuf>::new(),
        "use substrate::http::Api"
    );
    assert!(
        described > 0,
        "substrate/http.rs hands no route to the router"
    );
}

fn adds_a_route(text: &str) -> bool {
    [".route(", ".route_service(", ".nest(", "Router::new()"]
        .iter()
        .any(|it| text.contains(it))
}

#[test]
fn every_form_on_the_wire_has_the_schema_of_its_type() {
    let document = fraudplat::app::document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let forms = schema::forms();
    for (form, name) in [
        ("envelope", "Envelope"),
        ("ingest_answer", "IngestAnswer"),
        ("receipt", "Receipt"),
        ("decision_body", "DecisionBody"),
        ("decision_evidence", "DecisionEvidence"),
        ("progress", "RunProgress"),
        ("problem", "Problem"),
    ] {
        let form = forms.iter().find(|it| it.name == form).unwrap();
        let properties = &form.schema.as_value()["properties"];
        let names =
            |it: &Value| -> BTreeSet<String> { it.as_object().unwrap().keys().cloned().collect() };
        let found = names(&schemas[name]["properties"]);
        assert_eq!(found, names(properties), "{name}");
        assert_eq!(
            schemas[name]["required"],
            form.schema.as_value()["required"]
        );
    }
}

/// Every reference leads somewhere, every example is of its schema, every operation has answers.
#[test]
fn the_document_holds_together() {
    let document = fraudplat::app::document();
    assert_eq!(document["openapi"], "3.1.0");
    let (mut references, mut examples) = (0, 0);
    let mut open = vec![(String::new(), &document)];
    while let Some((at, value)) = open.pop() {
        if let Some(place) = value.get("$ref").and_then(Value::as_str) {
            let target = document.pointer(place.trim_start_matches('#'));
            assert!(target.is_some(), "{at}: {place} is nowhere");
            references += 1;
        }
        if let Some(schema) = value.get("schema") {
            for example in examples_of(value) {
                check_example(&document, &at, schema, example);
                examples += 1;
            }
        }
        match value {
            Value::Object(fields) => {
                open.extend(fields.iter().map(|(key, it)| (format!("{at}/{key}"), it)));
            }
            Value::Array(items) => {
                let items = items.iter().enumerate();
                open.extend(items.map(|(n, it)| (format!("{at}/{n}"), it)));
            }
            _ => {}
        }
    }
    assert!(references > 30 && examples > 20, "{references} {examples}");
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let answers = operation["responses"].as_object().unwrap();
            assert!(!answers.is_empty(), "{method} {path} answers nothing");
            let parts = path.matches('{').count();
            let parameters = operation["parameters"].as_array();
            let named =
                parameters.map_or(0, |it| it.iter().filter(|it| it["in"] == "path").count());
            assert_eq!(named, parts, "{method} {path} names other parts");
        }
    }
}

fn examples_of(content: &Value) -> Vec<&Value> {
    let many = content.get("examples").and_then(Value::as_object);
    let many = many.into_iter().flat_map(|it| it.values());
    let many = many.map(|it| &it["value"]);
    content.get("example").into_iter().chain(many).collect()
}

#[track_caller]
fn check_example(document: &Value, at: &str, schema: &Value, example: &Value) {
    let whole = json!({"allOf": [schema], "components": document["components"]});
    let validator = jsonschema::validator_for(&whole).unwrap();
    if let Err(cause) = validator.validate(example) {
        panic!("{at}: {cause} at {}", cause.instance_path());
    }
}

/// A problem's example is the document that the code makes, and every status says which codes.
#[test]
fn problems_name_their_codes() {
    let document = fraudplat::app::document();
    let mut named = BTreeSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            for (status, answer) in operation["responses"].as_object().unwrap() {
                let problem = &answer["content"]["application/problem+json"];
                assert_eq!(problem.is_object(), status.as_str() >= "400", "{answer}");
                for example in examples_of(problem) {
                    let code: Code = example["code"].as_str().unwrap().parse().unwrap();
                    assert_eq!(example["status"].to_string(), *status);
                    assert!(
                        answer["description"]
                            .as_str()
                            .unwrap()
                            .contains(code.as_str())
                    );
                    named.insert(code);
                }
            }
        }
    }
    assert!(named.contains(&Code::QueryInvalid) && named.contains(&Code::Overloaded));
}
