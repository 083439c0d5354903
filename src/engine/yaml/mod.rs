//! YAML with places: the file as a tree whose every node knows where it stands, and typed reading
//! of it that goes on after a fault, so that one check shows all of a file's faults.

mod read;
mod scalar;

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

pub(crate) use crate::engine::yaml::read::{Items, read_list};
pub(crate) use crate::engine::yaml::scalar::place_in_scalar;

use crate::engine::diagnostic::{Fault, Place};

/// A file may nest this deep, and no deeper: reading recurses.
const DEPTH_MAX: usize = 16;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) place: Place,
    /// Byte offset of the node in the file, where known.
    pub(crate) byte: usize,
    pub(crate) value: Shape,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        let Shape::Map(entries) = &self.value else {
            return None;
        };
        let found = entries
            .iter()
            .find(|(it, _)| matches!(&it.value, Shape::Text(text) if text == key));
        found.map(|(_, value)| value)
    }

    /// Where the value of a key stands; the node itself where there is none.
    pub(crate) fn place_of(&self, key: &str) -> Place {
        self.get(key).map_or(self.place, |it| it.place)
    }

    pub(crate) fn text_of(&self, key: &str) -> Option<&str> {
        match self.get(key).map(|it| &it.value) {
            Some(Shape::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// Reads the text as one document.
///
/// # Errors
/// The first place that is no YAML, or a key that stands twice.
pub(crate) fn parse(text: &str) -> Result<Node, Fault> {
    // Anchors would make one place of two, and expand without end: a rule file needs none.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_anchors: 0,
            max_aliases: 0,
            max_depth: DEPTH_MAX,
            max_documents: 1,
        },
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = error.location().map_or(Place::default(), place_of);
        let message = error.without_snippet().to_string();
        // The message repeats its own place in words; the finding has it already.
        let message = message.split(" at line ").next().unwrap_or(&message);
        Fault::new(place, message.trim())
    })
}

fn place_of(location: serde_saphyr::Location) -> Place {
    Place {
        line: usize::try_from(location.line()).unwrap_or(usize::MAX),
        column: usize::try_from(location.column()).unwrap_or(usize::MAX),
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        let spanned = Spanned::<Shape>::deserialize(deserializer)?;
        let byte = spanned.defined.span().byte_offset().unwrap_or(0);
        Ok(Node {
            place: place_of(spanned.defined),
            byte: usize::try_from(byte).unwrap_or(0),
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Shape, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_none<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Shape, E> {
        Ok(Shape::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Shape, E> {
        Ok(Shape::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Shape, E> {
        i64::try_from(value)
            .map(Shape::Int)
            .map_err(|_| E::custom("an integer beyond 64 bits"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Shape, E> {
        Ok(Shape::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Shape, E> {
        Ok(Shape::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Shape::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Shape::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_knows_its_place() {
        let root = parse("a: 1\nitems:\n  - {x: \"é\", y: 2.5}\n  - yes\n").unwrap();
        let items = root.get("items").unwrap();
        let Shape::List(list) = &items.value else {
            panic!("{items:?}")
        };
        let y = list[0].get("y").unwrap();
        assert_eq!(
            y.place,
            Place {
                line: 3,
                column: 17
            }
        );
        assert_eq!(y.value, Shape::Float(2.5));
        assert_eq!(root.get("a").unwrap().value, Shape::Int(1));
        assert_eq!(list[1].value, Shape::Text("yes".to_owned()));
    }

    #[track_caller]
    fn check(text: &str, line: usize, says: &str) {
        let fault = parse(text).expect_err("the text must be refused");
        assert_eq!(fault.place.line, line, "{fault:?}");
        assert!(fault.message.contains(says), "{fault:?}");
        assert!(!fault.message.contains(" line "), "{fault:?}");
    }

    #[test]
    fn what_is_no_single_plain_document_is_refused() {
        check("a: 1\na: 2\n", 2, "duplicate");
        check("a: [1\nb: 2\n", 2, "");
        check("a: &x 1\nb: *x\n", 1, "budget");
        check("a: .nan\n", 1, "");
        let deep = format!("a: {}{}", "[".repeat(40), "]".repeat(40));
        check(&deep, 1, "");
    }
}
