//! Checks as they come: two numbers and the first offenders.

use crate::contracts::reconciliation::Check;

/// As the artifact's form says.
pub(super) const EXAMPLES_MAX: usize = 10;

/// The first offenders of one check.
#[derive(Debug, Default)]
pub(super) struct Examples(Vec<String>);

impl Examples {
    pub(super) fn add(&mut self, example: impl FnOnce() -> String) {
        if self.0.len() < EXAMPLES_MAX {
            self.0.push(example());
        }
    }

    pub(super) fn names(self) -> impl Iterator<Item = String> {
        self.0.into_iter()
    }

    pub(super) fn extend(&mut self, examples: impl IntoIterator<Item = String>) {
        let room = EXAMPLES_MAX - self.0.len();
        self.0.extend(examples.into_iter().take(room));
    }
}

#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Check>);

impl Findings {
    /// Two numbers that must be equal; the examples are kept where they are not.
    pub(super) fn check(
        &mut self,
        name: impl Into<String>,
        left: i64,
        right: i64,
        examples: Examples,
    ) {
        self.0.push(Check {
            name: name.into(),
            left,
            right,
            examples: if left == right {
                Vec::new()
            } else {
                examples.0
            },
        });
    }

    /// Nothing of this kind may exist.
    pub(super) fn none(&mut self, name: impl Into<String>, found: i64, examples: Examples) {
        self.check(name, 0, found, examples);
    }

    pub(super) fn into_checks(self) -> Vec<Check> {
        self.0
    }
}

/// Rows and records number far below 2^63.
pub(super) fn int(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
