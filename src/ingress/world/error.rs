//! What can be wrong with a mapping or scenario, with a row of its data, or with a world at rest.

use std::fmt;

use serde_saphyr::Location;

use crate::contracts::code::Code;
use crate::domain::digest::Digest;
use crate::substrate::objects;

/// One finding in a mapping or scenario. `line` and `column` count from 1, columns in characters; line 0 is
/// the file as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub file: String,
    pub line: u64,
    pub column: u64,
    pub message: String,
    /// What to write instead.
    pub suggestion: Option<String>,
    /// The line as it stands in the file.
    pub snippet: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnostic {
            file, line, column, ..
        } = self;
        write!(f, "{file}:{line}:{column}: {}", self.message)?;
        if !self.snippet.is_empty() {
            let number = line.to_string();
            let margin = " ".repeat(number.len());
            let lead = " ".repeat(
                usize::try_from(column.saturating_sub(1))
                    .unwrap_or(0)
                    .min(200),
            );
            write!(f, "\n {number} | {}\n {margin} | {lead}^", self.snippet)?;
        }
        match &self.suggestion {
            Some(suggestion) => write!(f, "\n   = help: {suggestion}"),
            None => Ok(()),
        }
    }
}

/// A file's name and text, for turning places into findings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'t> {
    pub(crate) file: &'t str,
    pub(crate) text: &'t str,
}

impl Text<'_> {
    pub(crate) fn diagnostic(&self, at: Location, message: impl Into<String>) -> Diagnostic {
        let nth = usize::try_from(at.line()).unwrap_or(0).checked_sub(1);
        let snippet = nth.and_then(|nth| self.text.lines().nth(nth));
        Diagnostic {
            file: self.file.to_owned(),
            line: at.line(),
            column: at.column(),
            message: message.into(),
            suggestion: None,
            snippet: snippet.unwrap_or_default().to_owned(),
        }
    }
}

/// `did you mean …?` for the nearest of the names if one is near, else all of them if they are few.
pub(crate) fn suggest<'n>(
    found: &str,
    names: impl Iterator<Item = &'n str> + Clone,
) -> Option<String> {
    let limit = (found.chars().count() / 3).clamp(1, 4);
    let distance =
        |name: &str| strsim::damerau_levenshtein(&found.to_lowercase(), &name.to_lowercase());
    let nearest = names.clone().map(|name| (distance(name), name)).min();
    match nearest {
        Some((distance, name)) if distance <= limit => Some(format!("did you mean `{name}`?")),
        Some(_) => {
            let known: Vec<&str> = names.take(16).collect();
            Some(format!("there are: {}", known.join(", ")))
        }
        None => None,
    }
}

/// One row that the mapping cannot read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    pub file: String,
    /// From 1, a CSV header not counted.
    pub row: u64,
    /// The column, or the expression where it is made of several.
    pub column: String,
    /// The shape of the value: `a` stands for a letter, `9` for a digit. Never the value itself,
    /// which may be a personal datum.
    pub found: String,
    pub message: String,
    /// The line of the mapping that asked for it.
    pub mapping_line: u64,
}

impl fmt::Display for RowFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RowFault {
            file,
            row,
            column,
            found,
            message,
            mapping_line,
        } = self;
        write!(
            f,
            "{file}: row {row}: column {column}: {message}; found {found} (line {mapping_line} of the mapping)"
        )
    }
}

/// As many faulty rows are shown.
pub const ROW_FAULTS_MAX: usize = 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Never empty.
    #[error("the mapping is at fault:\n{}", lines(.0))]
    Mapping(Vec<Diagnostic>),
    /// Never empty.
    #[error("the scenario is at fault:\n{}", lines(.0))]
    Scenario(Vec<Diagnostic>),
    /// The first [`ROW_FAULTS_MAX`] of `total`; nothing was materialised.
    #[error("{}, so there is no world:\n{}", rows_at_fault(*.total), lines(.faults))]
    Rows { faults: Vec<RowFault>, total: u64 },
    #[error("the dataset has no payment to select")]
    NoPayments,
    /// Whoever took the objects has stopped; its own error says why.
    #[error("the world was not taken")]
    Stopped,
    #[error("read `{path}`")]
    File {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("`{file}` is no readable {format}: {cause}")]
    Format {
        file: String,
        format: &'static str,
        cause: String,
    },
    #[error("the world's objects")]
    Objects(#[from] objects::Error),
    /// Something else was written under a world's key (L3).
    #[error("object `{key}` of the world is there with other bytes ({stored})")]
    Conflict { key: String, stored: Digest },
    #[error("object `{key}` of the world is absent")]
    Missing { key: String },
    #[error("object `{key}` of the world has digest {found}, pinned is {pinned}")]
    Digest {
        key: String,
        pinned: Digest,
        found: Digest,
    },
    #[error("object `{key}` of the world is malformed: {cause}")]
    Malformed { key: String, cause: String },
}

fn rows_at_fault(total: u64) -> String {
    match total {
        1 => "1 row is at fault".to_owned(),
        _ => format!("{total} rows are at fault"),
    }
}

impl Error {
    /// The stable code that an operator meets.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Error::Mapping(_) | Error::Rows { .. } | Error::NoPayments => Code::MappingInvalid,
            Error::File { .. } | Error::Format { .. } => Code::MappingInvalid,
            Error::Scenario(_) => Code::ScenarioInvalid,
            Error::Objects(_) | Error::Stopped => Code::SubstrateUnavailable,
            Error::Missing { .. } => Code::EvidenceMissing,
            Error::Conflict { .. } | Error::Digest { .. } | Error::Malformed { .. } => {
                Code::RunFactsMismatch
            }
        }
    }
}

fn lines<T: fmt::Display>(items: &[T]) -> String {
    let lines: Vec<String> = items.iter().map(|it| format!("  {it}")).collect();
    lines.join("\n")
}
