//! The only file that says `cel`: its parser reads the text, and what comes out is a small tree of
//! our own whose every node knows its bytes. What the language has and we refuse is refused here.

use std::ops::Range;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};
use cel::parser::Parser;

/// A fault within an expression: bytes of its text, what is wrong, what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) at: Range<usize>,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Refused {
    pub(crate) fn new(at: &Range<usize>, message: impl Into<String>) -> Refused {
        Refused {
            at: at.clone(),
            message: message.into(),
            help: None,
        }
    }

    pub(crate) fn help(self, help: impl Into<Option<String>>) -> Refused {
        Refused {
            help: help.into(),
            ..self
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ast {
    pub(crate) at: Range<usize>,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Name(String),
    Select(Box<Ast>, String),
    /// `has(of.field)`.
    Has(Box<Ast>, String),
    Operator(Operator, Vec<Ast>),
    /// `name(args)`, or `target.name(args)`.
    Call {
        name: String,
        target: Option<Box<Ast>>,
        args: Vec<Ast>,
    },
    List(Vec<Ast>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    If,
    And,
    Or,
    Not,
    Negate,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
}

/// Longer than any rule that a person can read.
const TEXT_BYTES_MAX: usize = 4_096;

/// # Errors
/// Every place that is no expression of the closed subset.
pub(crate) fn parse(text: &str) -> Result<Ast, Vec<Refused>> {
    let all = 0..text.len();
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("an expression has at most {TEXT_BYTES_MAX} bytes");
        return Err(vec![Refused::new(&all, message)]);
    }
    if text.trim().is_empty() {
        return Err(vec![Refused::new(&all, "the expression is empty")]);
    }
    match Parser::new().parse_with_source_info(text) {
        Ok((expr, info)) => convert(&expr, &info, text),
        // The parser's place of this one is a depth.
        Err(errors)
            if errors
                .errors
                .iter()
                .any(|it| it.msg.contains("Recursion limit")) =>
        {
            Err(vec![Refused::new(&all, "the expression nests too deeply")])
        }
        Err(errors) => Err(errors
            .errors
            .iter()
            .map(|error| {
                let at = byte_of(text, error.pos);
                let message = error.msg.trim_start_matches("Syntax error: ");
                Refused::new(&(at..at), format!("syntax: {message}"))
            })
            .collect()),
    }
}

/// The byte of a place whose line and column count from 1, the column in characters.
fn byte_of(text: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line).unwrap_or(1).max(1);
    let column = usize::try_from(column).unwrap_or(1).max(1);
    let start: usize = text
        .split_inclusive('\n')
        .take(line - 1)
        .map(str::len)
        .sum();
    let in_line = text[start..].char_indices().nth(column - 1);
    in_line.map_or(text.len(), |(byte, _)| start + byte)
}

fn convert(expr: &IdedExpr, info: &SourceInfo, text: &str) -> Result<Ast, Vec<Refused>> {
    let own = own_bytes(expr.id, info, text);
    let refuse = |message: &str| Err(vec![Refused::new(&own, message)]);
    let kind = match &expr.expr {
        Expr::Literal(literal) => match literal {
            LiteralValue::Boolean(value) => Kind::Bool(*value.inner()),
            LiteralValue::Int(value) => Kind::Int(*value.inner()),
            LiteralValue::Double(value) => Kind::Float(*value.inner()),
            LiteralValue::String(value) => Kind::Text(value.inner().to_owned()),
            LiteralValue::UInt(_) => {
                return refuse("unsigned integers are not supported: drop the `u`");
            }
            LiteralValue::Bytes(_) => return refuse("bytes are not supported"),
            LiteralValue::Null => {
                return refuse("null is not supported: test presence with has(…)");
            }
        },
        Expr::Ident(name) => Kind::Name(name.clone()),
        Expr::Select(select) => {
            let of = Box::new(convert(&select.operand, info, text)?);
            match select.test {
                true => Kind::Has(of, select.field.clone()),
                false => Kind::Select(of, select.field.clone()),
            }
        }
        Expr::Call(call) => convert_call(call, &own, info, text)?,
        Expr::List(list) if list.optional_indices.is_empty() => {
            Kind::List(convert_all(&list.elements, info, text)?)
        }
        Expr::List(_) => return refuse("optional elements are not supported"),
        Expr::Comprehension(_) => {
            return refuse("comprehensions (all, exists, map, filter) are not supported");
        }
        Expr::Map(_) => return refuse("maps are not supported"),
        Expr::Struct(_) => return refuse("messages are not supported"),
        Expr::Unspecified => return refuse("not an expression"),
    };
    let at = whole(own, &kind, text);
    Ok(Ast { at, kind })
}

/// The bytes of the node and of all below it: the parser notes only its operator.
fn whole(own: Range<usize>, kind: &Kind, text: &str) -> Range<usize> {
    let join =
        |at: Range<usize>, below: &Ast| at.start.min(below.at.start)..at.end.max(below.at.end);
    match kind {
        Kind::Select(of, field) => {
            let at = join(own, of);
            let end = at.end.max(of.at.end + 1 + field.len());
            at.start..end
        }
        Kind::Has(of, _) => join(own, of),
        Kind::Operator(_, args) => args.iter().fold(own, join),
        Kind::Call { name, target, args } => {
            // The parser notes a call by its parenthesis; the name stands before it.
            let before = text[..own.start].trim_end();
            let start = before
                .strip_suffix(name.as_str())
                .map_or(own.start, str::len);
            let at = args.iter().fold(start..own.end, join);
            target.iter().fold(at, |at, it| join(at, it))
        }
        _ => own,
    }
}

fn own_bytes(id: u64, info: &SourceInfo, text: &str) -> Range<usize> {
    let (start, last) = info.offset_for(id).unwrap_or((0, 0));
    let start = text.floor_char_boundary((start as usize).min(text.len()));
    let end = text.ceil_char_boundary((last as usize + 1).clamp(start, text.len()));
    start..end
}

fn convert_all(
    exprs: &[IdedExpr],
    info: &SourceInfo,
    text: &str,
) -> Result<Vec<Ast>, Vec<Refused>> {
    let mut nodes = Vec::with_capacity(exprs.len());
    let mut refused = Vec::new();
    for expr in exprs {
        match convert(expr, info, text) {
            Ok(node) => nodes.push(node),
            Err(more) => refused.extend(more),
        }
    }
    if refused.is_empty() {
        Ok(nodes)
    } else {
        Err(refused)
    }
}

fn convert_call(
    call: &CallExpr,
    own: &Range<usize>,
    info: &SourceInfo,
    text: &str,
) -> Result<Kind, Vec<Refused>> {
    let args = convert_all(&call.args, info, text)?;
    let operator = match call.func_name.as_str() {
        operators::CONDITIONAL => Operator::If,
        operators::LOGICAL_AND => Operator::And,
        operators::LOGICAL_OR => Operator::Or,
        operators::LOGICAL_NOT => Operator::Not,
        operators::NEGATE => Operator::Negate,
        operators::ADD => Operator::Add,
        operators::SUBSTRACT => Operator::Subtract,
        operators::MULTIPLY => Operator::Multiply,
        operators::DIVIDE => Operator::Divide,
        operators::MODULO => Operator::Modulo,
        operators::EQUALS => Operator::Equal,
        operators::NOT_EQUALS => Operator::NotEqual,
        operators::LESS => Operator::Less,
        operators::LESS_EQUALS => Operator::LessEqual,
        operators::GREATER => Operator::Greater,
        operators::GREATER_EQUALS => Operator::GreaterEqual,
        operators::IN => Operator::In,
        operators::INDEX | operators::OPT_INDEX => {
            return Err(vec![Refused::new(own, "indexing is not supported")]);
        }
        name => {
            let target = call.target.as_ref();
            let target = target.map(|it| convert(it, info, text)).transpose()?;
            return Ok(Kind::Call {
                name: name.to_owned(),
                target: target.map(Box::new),
                args,
            });
        }
    };
    Ok(Kind::Operator(operator, args))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_knows_its_bytes() {
        let text = "'é' == event.currency && 1 + 2 < event.amount_minor";
        let tree = parse(text).unwrap();
        assert_eq!(&text[tree.at.clone()], text);
        let Kind::Operator(Operator::And, args) = &tree.kind else {
            panic!("{tree:?}")
        };
        let slices: Vec<_> = args.iter().map(|it| &text[it.at.clone()]).collect();
        assert_eq!(
            slices,
            ["'é' == event.currency", "1 + 2 < event.amount_minor"]
        );
    }

    #[track_caller]
    fn check(text: &str, at: usize, says: &str) {
        let refused = parse(text).expect_err("the text must be refused");
        assert_eq!(refused[0].at.start, at, "{refused:?}");
        assert!(refused[0].message.contains(says), "{refused:?}");
    }

    #[test]
    fn what_is_outside_the_subset_is_refused_at_its_place() {
        check("1 < ", 4, "syntax");
        check("'é' = 1", 5, "syntax");
        check("  ", 0, "empty");
        check("1 < 2u", 4, "unsigned");
        check("event.x == null", 11, "null");
        check("{'a': 1} == 1", 0, "maps");
        check("[1].exists(x, x > 1)", 10, "comprehensions");
        check("event['a'] == 1", 5, "indexing");
        check("b'a' == 1", 0, "bytes");
        check(&"(".repeat(3_000), 0, "deep");
    }
}
