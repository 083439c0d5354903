//! Two bodies, field by field. Pure.

use serde::Serialize;
use serde_json::Value;

/// One field that differs; values in JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldDiff {
    /// Dotted, such as `features.customer_count_1d` or `trace.3.result`.
    pub field: String,
    pub stored: Value,
    pub recomputed: Value,
}

/// Every leaf that differs, in order of the fields.
pub(super) fn diff(stored: &Value, recomputed: &Value) -> Vec<FieldDiff> {
    let mut diffs = Vec::new();
    descend("", stored, recomputed, &mut diffs);
    diffs
}

fn descend(path: &str, stored: &Value, recomputed: &Value, diffs: &mut Vec<FieldDiff>) {
    let below = |key: &str| {
        if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        }
    };
    match (stored, recomputed) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: std::collections::BTreeSet<&String> =
                left.keys().chain(right.keys()).collect();
            for key in keys {
                let of = |side: &serde_json::Map<String, Value>| {
                    side.get(key).cloned().unwrap_or_default()
                };
                descend(&below(key), &of(left), &of(right), diffs);
            }
        }
        (Value::Array(left), Value::Array(right)) => {
            for at in 0..left.len().max(right.len()) {
                let of = |side: &[Value]| side.get(at).cloned().unwrap_or_default();
                descend(&below(&at.to_string()), &of(left), &of(right), diffs);
            }
        }
        _ if stored == recomputed => {}
        _ => diffs.push(FieldDiff {
            field: path.to_owned(),
            stored: stored.clone(),
            recomputed: recomputed.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::diff;
    use serde_json::json;

    #[test]
    fn differences_are_named_by_their_leaf() {
        let stored = json!({"a": 1, "f": {"x": 1.5, "y": null}, "t": [1, 2]});
        assert!(diff(&stored, &stored).is_empty());
        let other = json!({"a": 1, "f": {"x": 2.5}, "t": [1, 3, 4]});
        let fields: Vec<String> = diff(&stored, &other)
            .into_iter()
            .map(|it| it.field)
            .collect();
        assert_eq!(fields, ["f.x", "t.1", "t.2"]);
    }
}
