//! The values that an expression met: what it names, looked up in the body and in the event. Pure.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::contracts::decision::DecisionBody;

/// What `when` names, with its values; what is not known here is left out.
pub(super) fn met(when: &str, body: &DecisionBody, event: Option<&Json>) -> BTreeMap<String, Json> {
    let named = names(when);
    let met = named.into_iter().filter_map(|name| {
        let (root, rest) = name.split_once('.')?;
        let value = match (root, rest) {
            ("features", feature) => serde_json::to_value(body.features.get(feature)?).ok()?,
            ("event", "degraded") => Json::Bool(!body.degraded.is_empty()),
            ("event", "ts") => serde_json::to_value(body.ts_utc).ok()?,
            ("event", field) => field_of(&event?["payload"], field),
            _ => return None,
        };
        Some((name.to_owned(), value))
    });
    met.collect()
}

fn field_of(payload: &Json, field: &str) -> Json {
    let down = |at: &Json, name: &str| at.get(name).cloned().unwrap_or_default();
    field
        .split('.')
        .fold(payload.clone(), |at, name| down(&at, name))
}

/// The dotted names of an expression; a method's name is none of its operand's.
fn names(when: &str) -> Vec<&str> {
    let is_part = |it: char| it.is_ascii_alphanumeric() || it == '_' || it == '.';
    let mut names = Vec::new();
    let mut rest = when;
    while let Some(from) = rest.find(is_part) {
        rest = &rest[from..];
        let to = rest.find(|it| !is_part(it)).unwrap_or(rest.len());
        let (mut name, after) = rest.split_at(to);
        if after.starts_with('(') {
            name = name.rsplit_once('.').map_or("", |(before, _)| before);
        }
        let name = name.trim_end_matches('.');
        if name.contains('.') && !names.contains(&name) {
            names.push(name);
        }
        rest = after;
    }
    names
}

#[cfg(test)]
mod tests {
    use super::{field_of, names};
    use serde_json::json;

    #[test]
    fn an_expression_is_searched_for_names() {
        assert_eq!(
            names(
                "event.amount_minor > 22000 && features.n / 2 > 5.5 || event.ts.getHours() in [0, 6]"
            ),
            ["event.amount_minor", "features.n", "5.5", "event.ts"]
        );
        assert_eq!(names("has(event.attributes.x)"), ["event.attributes.x"]);
    }

    #[test]
    fn a_field_may_lie_deeper_or_nowhere() {
        let payload = json!({"amount_minor": 3, "attributes": {"x": true}});
        assert_eq!(field_of(&payload, "attributes.x"), true);
        assert_eq!(field_of(&payload, "amount_minor"), 3);
        assert!(field_of(&payload, "device_id").is_null());
    }
}
