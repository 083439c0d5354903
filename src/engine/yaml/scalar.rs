//! From a byte of a scalar's text back to its place in the file, through quotes, escapes and
//! folding, so that a fault inside an expression points into the expression.

use crate::engine::diagnostic::Place;
use crate::engine::yaml::Node;

/// Where byte `at` of the decoded text of `node` stands in the file `text`. Exact for plain and
/// quoted scalars of one line; exact to the line for folded and literal blocks.
pub(crate) fn place_in_scalar(text: &str, node: &Node, at: usize) -> Place {
    let Some(raw) = text.get(node.byte..) else {
        return node.place;
    };
    match raw.chars().next() {
        Some('|' | '>') => in_block(raw, node.place, at),
        Some(quote @ ('\'' | '"')) => {
            let decoded = in_quotes(&raw[1..], quote, at);
            walk(raw, node.place, 1 + decoded)
        }
        _ => walk(raw, node.place, in_plain(raw, at)),
    }
}

/// The place of byte `at` of `raw`, which begins at `start`.
fn walk(raw: &str, start: Place, at: usize) -> Place {
    let mut place = start;
    for (byte, char) in raw.char_indices() {
        if byte >= at {
            break;
        }
        if char == '\n' {
            place = Place {
                line: place.line + 1,
                column: 1,
            };
        } else {
            place.column += 1;
        }
    }
    place
}

/// Plain text runs on in later lines: each break with its blanks stands for one space.
fn in_plain(raw: &str, at: usize) -> usize {
    let mut decoded = 0;
    let mut byte = 0;
    while decoded < at && byte < raw.len() {
        byte += unit_length(&raw[byte..], &mut decoded);
    }
    byte
}

/// Bytes of one decoded unit that is no escape: a fold, or one character.
fn unit_length(raw: &str, decoded: &mut usize) -> usize {
    let blanks = raw.len() - raw.trim_start_matches([' ', '\t']).len();
    let rest = &raw[blanks..];
    if rest.starts_with(['\n', '\r']) {
        *decoded += 1;
        return raw.len() - raw.trim_start().len();
    }
    let length = raw.chars().next().map_or(1, char::len_utf8);
    *decoded += length;
    length
}

fn in_quotes(raw: &str, quote: char, at: usize) -> usize {
    let mut decoded = 0;
    let mut byte = 0;
    while decoded < at && byte < raw.len() {
        let rest = &raw[byte..];
        if quote == '\'' && rest.starts_with("''") {
            decoded += 1;
            byte += 2;
        } else if quote == '"' && rest.starts_with('\\') {
            let (length, value) = escape(rest);
            decoded += value;
            byte += length;
        } else {
            byte += unit_length(rest, &mut decoded);
        }
    }
    byte
}

/// Bytes of the escape in the file, and of what it stands for.
fn escape(raw: &str) -> (usize, usize) {
    let digits = match raw.as_bytes().get(1) {
        Some(b'x') => 2,
        Some(b'u') => 4,
        Some(b'U') => 8,
        // A line that ends in a backslash joins the next, blanks and all.
        Some(b'\n') => return (raw.len() - raw[1..].trim_start().len(), 0),
        // Non-breaking space, next line, and the two separators are longer than one byte.
        Some(b'_' | b'N') => return (2, 2),
        Some(b'L' | b'P') => return (2, 3),
        _ => return (raw.chars().take(2).map(char::len_utf8).sum(), 1),
    };
    let code = raw
        .get(2..2 + digits)
        .and_then(|it| u32::from_str_radix(it, 16).ok());
    let char = code.and_then(char::from_u32);
    (2 + digits, char.map_or(1, char::len_utf8))
}

/// Lines below the header, each without the block's indent, joined by one character.
fn in_block(raw: &str, start: Place, at: usize) -> Place {
    let mut decoded = 0;
    let mut place = start;
    for (nth, line) in raw.lines().enumerate().skip(1) {
        let content = line.trim_start_matches(' ');
        let indent = line.len() - content.len();
        place = Place {
            line: start.line + nth,
            column: indent + 1,
        };
        if at <= decoded + content.len() {
            place.column += content
                .char_indices()
                .take_while(|(byte, _)| decoded + byte < at)
                .count();
            break;
        }
        decoded += content.len() + 1;
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::yaml::{Shape, parse};

    /// `#` marks the byte that is looked for in the decoded text.
    #[track_caller]
    fn check(text: &str, line: usize, column: usize) {
        let root = parse(text).unwrap();
        let node = root.get("k").unwrap();
        let Shape::Text(decoded) = &node.value else {
            panic!("{node:?}")
        };
        let at = decoded.find('#').unwrap();
        assert_eq!(
            place_in_scalar(text, node, at),
            Place { line, column },
            "{text}"
        );
    }

    #[test]
    fn a_byte_of_the_text_is_found_in_the_file() {
        check("k: ab#c", 1, 6);
        check("é: 1\nk: éb#c\n", 2, 6);
        check("k: \"ab#c\"", 1, 7);
        check("k: \"a\\\"b#c\"", 1, 9);
        check("k: \"a\\u00e9b#c\"", 1, 13);
        check("k: 'a''b#c'", 1, 9);
        check("{j: 1, k: 'a#'}", 1, 13);
        check("k: |\n  a\n  b#\n", 3, 4);
        check("k: >\n  a\n  b#\n", 3, 4);
        check("k: a\n  b#\n", 2, 4);
        check("k: \"a\n  b#\"\n", 2, 4);
    }
}
