//! A text that must not be shown: a profile that is printed, logged or digested has a mark in its
//! place.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize, Serializer};

const HIDDEN: &str = "(secret)";

/// A password or key. Only [`Secret::reveal`] gives it away.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    #[must_use]
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The first line of a file, which is how secrets are mounted.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(path: &Path) -> std::io::Result<Secret> {
        let text = std::fs::read_to_string(path)?;
        Ok(Secret(text.lines().next().unwrap_or_default().to_owned()))
    }

    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nowhere_and_every_one_looks_alike() {
        let (one, other): (Secret, Secret) = (
            serde_json::from_str("\"hush\"").unwrap(),
            Secret::new("quiet"),
        );
        assert_eq!(one.reveal(), "hush");
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
        let shown = serde_json::to_string(&[&one, &other]).unwrap();
        assert_eq!(shown, r#"["(secret)","(secret)"]"#);
    }
}
