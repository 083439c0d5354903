//! Splits a request's body into its items: one JSON value, an array, or lines. Pure. Only a body
//! that is unreadable as a whole is refused here; a bad item is that item's verdict.

use std::ops::Range;

use serde_json::value::RawValue;

/// Why the body as a whole is unreadable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("the body is not UTF-8 at byte {0}")]
    NotUtf8(usize),
    #[error("the body is empty")]
    Empty,
    #[error("the body is not JSON: {0}")]
    NotJson(String),
}

/// The items' places in the body, in order.
pub(super) fn split(content_type: &str, body: &[u8]) -> Result<Vec<Range<usize>>, Unreadable> {
    let text = std::str::from_utf8(body).map_err(|it| Unreadable::NotUtf8(it.valid_up_to()))?;
    if text.trim_ascii().is_empty() {
        return Err(Unreadable::Empty);
    }
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/x-ndjson") {
        return Ok(lines(text));
    }
    let is_array = text.trim_ascii_start().starts_with('[');
    let parsed = if is_array {
        serde_json::from_str::<Vec<&RawValue>>(text)
    } else {
        serde_json::from_str::<&RawValue>(text).map(|it| vec![it])
    };
    match parsed {
        Ok(items) => Ok(items.into_iter().map(|it| place(text, it.get())).collect()),
        // Who names no type may well send lines; the strict parser judges each.
        Err(_) if !is_array && !kind.eq_ignore_ascii_case("application/json") => Ok(lines(text)),
        Err(error) => Err(Unreadable::NotJson(error.to_string())),
    }
}

fn lines(text: &str) -> Vec<Range<usize>> {
    let lines = text.split('\n').map(str::trim_ascii);
    lines
        .filter(|line| !line.is_empty())
        .map(|line| place(text, line))
        .collect()
}

/// Where `part`, a slice of `whole`, stands in it.
fn place(whole: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = "application/json; charset=utf-8";
    const LINES: &str = "application/x-ndjson";

    #[track_caller]
    fn check(content_type: &str, body: &str, expect: &[&str]) {
        let places = split(content_type, body.as_bytes()).unwrap();
        let items: Vec<&str> = places.into_iter().map(|it| &body[it]).collect();
        assert_eq!(items, expect);
    }

    #[test]
    fn bodies_split_in_order() {
        check(JSON, " {\"a\": [1,\n2]} ", &["{\"a\": [1,\n2]}"]);
        check(
            JSON,
            "[{\"a\":\"],[\"}, 7,{}]",
            &["{\"a\":\"],[\"}", "7", "{}"],
        );
        check(JSON, "[]", &[]);
        check(
            LINES,
            "{\"a\":1}\r\n\n{bad\n[1]",
            &["{\"a\":1}", "{bad", "[1]"],
        );
        check("", "{\"a\":1}\n{\"b\":2}\n", &["{\"a\":1}", "{\"b\":2}"]);
        check("", "[{}]", &["{}"]);
        check("text/plain", "{\n}", &["{\n}"]);
    }

    #[test]
    fn unreadable_bodies_are_refused_whole() {
        let refused = |content_type, body: &[u8]| split(content_type, body).unwrap_err();
        assert_eq!(refused(JSON, b" \n"), Unreadable::Empty);
        assert_eq!(refused(LINES, b"{}\n\xff"), Unreadable::NotUtf8(3));
        for body in ["[{},", "[{} {}]", "{\"a\":1", "[{\"a\":}]", "{}\n{}"] {
            assert!(matches!(
                refused(JSON, body.as_bytes()),
                Unreadable::NotJson(_)
            ));
        }
        assert!(matches!(refused("", b"[{}"), Unreadable::NotJson(_)));
    }
}
