//! serde over a tree with places: a derived type says what is expected, and a fault says where it
//! is and which name was probably meant.

use std::fmt;

use serde::de::{
    self, DeserializeOwned, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::engine::diagnostic::{Fault, Place, nearest};
use crate::engine::yaml::{Node, Shape};

/// A file of a header and one list, read item by item.
#[derive(Debug)]
pub(crate) struct Items<H, I> {
    /// The file without its items; `None` where the header is at fault.
    pub(crate) header: Option<H>,
    /// Each item with its node; `None` where the item is at fault.
    pub(crate) items: Vec<(Node, Option<I>)>,
    pub(crate) faults: Vec<Fault>,
}

/// Reads `root` as an `H` whose field `list` holds many `I`; a faulty item hides no other.
pub(crate) fn read_list<H: DeserializeOwned, I: DeserializeOwned>(
    root: &Node,
    list: &str,
) -> Items<H, I> {
    let mut faults = Vec::new();
    let mut shell = root.clone();
    let mut nodes = Vec::new();
    if let Shape::Map(entries) = &mut shell.value {
        for (key, value) in entries {
            let is_list = matches!(&key.value, Shape::Text(text) if text == list);
            if let (true, Shape::List(items)) = (is_list, &mut value.value) {
                nodes = std::mem::take(items);
            }
        }
    }
    let mut read = |result: Result<_, Error>| result.map_err(|it| faults.push(it.0)).ok();
    let header = read(H::deserialize(&shell).map(Some)).flatten();
    let items = nodes
        .into_iter()
        .map(|node| {
            let item = I::deserialize(&node);
            let item = item.map_err(|it| faults.push(it.0)).ok();
            (node, item)
        })
        .collect();
    Items {
        header,
        items,
        faults,
    }
}

/// A fault; line 0 until an enclosing node gives it its place.
#[derive(Debug)]
pub(crate) struct Error(Fault);

impl Error {
    pub(crate) fn into_fault(self) -> Fault {
        self.0
    }

    fn at(mut self, place: Place) -> Error {
        if self.0.place.line == 0 {
            self.0.place = place;
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Error {
        Error(Fault::new(Place::default(), message.to_string()))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Error {
        let fault = Fault::new(Place::default(), format!("unknown key `{field}`"));
        Error(fault.help(one_of(field, expected)))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Error {
        let fault = Fault::new(Place::default(), format!("unknown word `{variant}`"));
        Error(fault.help(one_of(variant, expected)))
    }

    fn missing_field(field: &'static str) -> Error {
        Error(Fault::new(
            Place::default(),
            format!("the key `{field}` is missing"),
        ))
    }
}

fn one_of(found: &str, expected: &'static [&'static str]) -> Option<String> {
    let near = nearest(found, expected.iter().copied());
    near.or_else(|| Some(format!("one of {}", expected.join(", "))))
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let value = match &self.value {
            Shape::Null => visitor.visit_unit(),
            Shape::Bool(value) => visitor.visit_bool(*value),
            Shape::Int(value) => visitor.visit_i64(*value),
            Shape::Float(value) => visitor.visit_f64(*value),
            Shape::Text(value) => visitor.visit_borrowed_str(value),
            Shape::List(items) => visitor.visit_seq(List(items.iter())),
            Shape::Map(entries) => visitor.visit_map(Map {
                entries: entries.iter(),
                value: None,
            }),
        };
        value.map_err(|error| error.at(self.place))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Shape::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let value = match &self.value {
            Shape::Text(word) => visitor.visit_enum(Word(word)),
            _ => Err(de::Error::custom("expected a word")),
        };
        value.map_err(|error| error.at(self.place))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct List<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for List<'de> {
    type Error = Error;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        self.0.next().map(|it| seed.deserialize(it)).transpose()
    }
}

struct Map<'de> {
    entries: std::slice::Iter<'de, (Node, Node)>,
    value: Option<&'de Node>,
}

impl<'de> MapAccess<'de> for Map<'de> {
    type Error = Error;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        seed.deserialize(key)
            .map(Some)
            .map_err(|error| error.at(key.place))
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let value = self.value.take().expect("serde asks for the key first");
        seed.deserialize(value)
            .map_err(|error| error.at(value.place))
    }
}

/// A unit variant by its word.
struct Word<'de>(&'de str);

impl<'de> EnumAccess<'de> for Word<'de> {
    type Error = Error;
    type Variant = Unit;

    fn variant_seed<V: de::DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Unit), Error> {
        let word: de::value::BorrowedStrDeserializer<'de, Error> =
            de::value::BorrowedStrDeserializer::new(self.0);
        Ok((seed.deserialize(word.into_deserializer())?, Unit))
    }
}

struct Unit;

impl<'de> VariantAccess<'de> for Unit {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: de::DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Error> {
        Err(de::Error::custom("expected a plain word"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(de::Error::custom("expected a plain word"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        Err(de::Error::custom("expected a plain word"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::policy::{Policy, Rule};
    use crate::engine::yaml::parse;

    #[test]
    fn each_faulty_item_is_found_at_its_place() {
        let text = "policy: p\npolicy_rev: x\ndefault: APPROVE\nprecedence: strictest\nrules:\n\
            \x20 - {id: A, owner: o, description: d, when: 'true', outcome: REVEIW, reason_code: X}\n\
            \x20 - {id: B, owner: o, descripton: d, when: 'true', outcome: REVIEW, reason_code: X}\n\
            \x20 - {id: C, owner: o, description: d, when: 'true', outcome: REVIEW, reason_code: X}\n\
            \x20 - {id: D, owner: o, when: 'true', outcome: REVIEW, reason_code: X}\n";
        let root = parse(text).unwrap();
        let read: Items<Policy, Rule> = read_list(&root, "rules");
        assert!(read.header.is_none());
        assert_eq!(
            read.items
                .iter()
                .map(|it| it.1.is_some())
                .collect::<Vec<_>>(),
            [false, false, true, false]
        );
        let found: Vec<_> = read
            .faults
            .iter()
            .map(|it| {
                (
                    it.place.line,
                    it.place.column,
                    it.suggestion.clone().unwrap_or_default(),
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                (2, 13, String::new()),
                (6, 62, "did you mean `REVIEW`?".to_owned()),
                (7, 23, "did you mean `description`?".to_owned()),
                (9, 5, String::new()),
            ]
        );
    }
}
