//! The port answers exactly the paths and methods of `docs/openapi.json`; whatever else is asked is
//! a problem document.

use serde_json::Value;

use crate::events::JSON;
use crate::home::Home;

const DOCUMENT: &str = include_str!("../../docs/openapi.json");

#[test]
fn the_routes_are_those_of_the_document() {
    let home = Home::new();
    let (_all, port) = home.serve();
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    assert_eq!(port.get("/openapi.json").body, document);
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 8, "{paths:?}");
    for (path, item) in paths {
        let mut documented: Vec<String> = item
            .as_object()
            .unwrap()
            .keys()
            .map(|method| method.to_uppercase())
            .collect();
        // A GET is a HEAD too.
        if documented.iter().any(|it| it == "GET") {
            documented.push("HEAD".to_owned());
        }
        documented.sort();
        let path = path.replace(['{', '}'], "");
        let (answer, allow) = port.delete(&path);
        assert_eq!(answer.status, 405, "{path}: {answer:?}");
        assert_eq!(answer.content_type, "application/problem+json", "{path}");
        assert_eq!(answer.body["code"], "METHOD_NOT_ALLOWED", "{path}");
        let mut allowed: Vec<String> = allow.split(',').map(|it| it.trim().to_owned()).collect();
        allowed.sort();
        assert_eq!(allowed, documented, "{path}");
    }
    let (nowhere, _) = port.delete("/v1/nowhere");
    assert_eq!(nowhere.body["code"], "NOT_FOUND", "{nowhere:?}");

    let token = std::fs::read_to_string(home.data().join("run/owner.token")).unwrap();
    let token = token.trim();
    for (content_type, body) in [
        (JSON, "{"),
        (JSON, r#"{"args": ["fraudplat", "run", "list"]}"#),
        ("text/plain", r#"{"args": ["fraudplat"], "cwd": "/"}"#),
    ] {
        let answer = port.command(token, content_type, body);
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert_eq!(answer.body["code"], "COMMAND_UNREADABLE", "{answer:?}");
    }
    // A stranger is not told what is wrong with the body.
    let stranger = port.command("guessed", JSON, "{");
    assert_eq!(stranger.body["code"], "UNAUTHENTICATED", "{stranger:?}");
}
