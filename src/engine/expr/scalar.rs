//! An expression that stands in a YAML scalar: faults of its text become places of the file.

use crate::contracts::feature_set::ValueType;
use crate::engine::diagnostic::Fault;
use crate::engine::expr::lower::{Names, lower};
use crate::engine::expr::parse::parse;
use crate::engine::expr::{Program, Refused};
use crate::engine::yaml::{Node, place_in_scalar};

/// Compiles `text`, the value of `key` in `node`, which stands in the file `file_text`.
///
/// # Errors
/// Every fault of the expression, at its place in the file. Empty where the expression only uses
/// a feature that is itself at fault.
pub(crate) fn compile_scalar(
    file_text: &str,
    node: &Node,
    key: &str,
    text: &str,
    names: Names<'_>,
    wanted: ValueType,
) -> Result<Program, Vec<Fault>> {
    let compiled = parse(text).and_then(|ast| lower(text, &ast, names, wanted));
    compiled.map_err(|refused| {
        let placed = |it: Refused| {
            let place = match node.get(key) {
                Some(scalar) => place_in_scalar(file_text, scalar, it.at.start),
                None => node.place,
            };
            Fault::new(place, it.message).help(it.help)
        };
        refused.into_iter().map(placed).collect()
    })
}
