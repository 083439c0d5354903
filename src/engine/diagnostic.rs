//! What is wrong in a file, where, and what was probably meant: printed as a compiler prints it.

use std::fmt;

/// Whether the file can be used all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

/// One finding. `line` and `column` count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub message: String,
    /// What to write instead.
    pub suggestion: Option<String>,
    /// The line as it stands in the file.
    pub snippet: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let Diagnostic {
            file, line, column, ..
        } = self;
        write!(f, "{file}:{line}:{column}: {severity}: {}", self.message)?;
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        write!(f, "\n {number} | {}", self.snippet)?;
        // A tab before the caret stays a tab, so that the caret stands where the terminal puts it.
        let lead: String = self
            .snippet
            .chars()
            .chain(std::iter::repeat(' '))
            .take(column.saturating_sub(1))
            .map(|it| if it == '\t' { '\t' } else { ' ' })
            .collect();
        write!(f, "\n {margin} | {lead}^")?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, "\n {margin} = help: {suggestion}")?;
        }
        Ok(())
    }
}

/// A point of a file, both counted from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A fault without its file yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) place: Place,
    pub(crate) message: String,
    pub(crate) suggestion: Option<String>,
}

impl Fault {
    pub(crate) fn new(place: Place, message: impl Into<String>) -> Fault {
        Fault {
            place,
            message: message.into(),
            suggestion: None,
        }
    }

    pub(crate) fn help(self, suggestion: Option<String>) -> Fault {
        Fault { suggestion, ..self }
    }
}

/// A file's name and text, for turning places into findings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'s> {
    pub(crate) file: &'s str,
    pub(crate) text: &'s str,
}

impl Source<'_> {
    pub(crate) fn diagnostic(&self, severity: Severity, fault: Fault) -> Diagnostic {
        let line = fault.place.line.max(1);
        Diagnostic {
            severity,
            file: self.file.to_owned(),
            line,
            column: fault.place.column.max(1),
            message: fault.message,
            suggestion: fault.suggestion,
            snippet: self
                .text
                .lines()
                .nth(line - 1)
                .unwrap_or_default()
                .to_owned(),
        }
    }

    /// In the order of the file.
    pub(crate) fn errors(&self, faults: Vec<Fault>) -> Vec<Diagnostic> {
        let mut faults = faults;
        faults.sort_by_key(|it| (it.place.line, it.place.column));
        faults
            .into_iter()
            .map(|it| self.diagnostic(Severity::Error, it))
            .collect()
    }
}

/// `did you mean …?` for the nearest of the names, if any is near.
pub(crate) fn nearest<'n>(found: &str, names: impl IntoIterator<Item = &'n str>) -> Option<String> {
    let limit = (found.chars().count() / 3).clamp(1, 4);
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(found, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| format!("did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_prints_like_a_compiler() {
        let source = Source {
            file: "policy.yaml",
            text: "a: 1\nwhen: \"event.amont > 1\"\n",
        };
        let place = Place { line: 2, column: 8 };
        let fault = Fault::new(place, "unknown name `event.amont`")
            .help(Some("did you mean `event.amount_minor`?".to_owned()));
        let found = source.diagnostic(Severity::Error, fault).to_string();
        let expected = "policy.yaml:2:8: error: unknown name `event.amont`\n 2 | when: \"event.amont > 1\"\n   |        ^\n   = help: did you mean `event.amount_minor`?";
        assert_eq!(found, expected);
    }

    #[test]
    fn only_near_names_are_suggested() {
        let names = ["customer_id", "card_id", "amount_minor"];
        assert_eq!(
            nearest("custmer_id", names),
            Some("did you mean `customer_id`?".to_owned())
        );
        assert_eq!(nearest("zzz", names), None);
    }
}
