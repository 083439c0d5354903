//! What world is asked for: a mapping, the dataset it reads, how much of it; and the fingerprint
//! that follows from them (L2).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_saphyr::Spanned;

use crate::contracts::mapping::Mapping;
use crate::domain::ids::ManifestFingerprint;
use crate::ingress::world::error::{Diagnostic, Error, Text, suggest};
use crate::ingress::world::lookup::Lookup;
use crate::ingress::world::table::File;
use crate::ingress::world::yaml;

/// How much of a dataset makes the world. Its text form enters the fingerprint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Selection {
    /// The first so many payments in the world's order, and the links before the last of them.
    /// `None`: all.
    pub limit: Option<u64>,
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            Some(limit) => write!(f, "limit={limit}"),
            None => f.write_str("all"),
        }
    }
}

/// A mapping over a dataset.
#[derive(Debug, Clone)]
pub struct Plan {
    mapping_file: String,
    mapping_text: String,
    pub(crate) mapping: Mapping,
    dataset: PathBuf,
    pub(crate) selection: Selection,
}

impl Plan {
    /// `dataset` is the directory of the mapping's files, or, where the mapping has one source
    /// file, that file under whatever name; links are then looked for beside it.
    ///
    /// # Errors
    /// An unreadable or faulty mapping.
    pub fn read(mapping: &Path, dataset: &Path, selection: Selection) -> Result<Plan, Error> {
        let file = mapping.display().to_string();
        let text = std::fs::read_to_string(mapping).map_err(|source| Error::File {
            path: file.clone(),
            source,
        });
        Plan::parse(&file, text?, dataset, selection)
    }

    /// As [`Plan::read`], of a mapping's text; `file` names it in errors.
    ///
    /// # Errors
    /// A faulty mapping.
    pub fn parse(
        file: &str,
        text: String,
        dataset: &Path,
        selection: Selection,
    ) -> Result<Plan, Error> {
        let mapping = yaml::parse(file, &text).map_err(Error::Mapping)?;
        Ok(Plan {
            mapping_file: file.to_owned(),
            mapping_text: text,
            mapping,
            dataset: dataset.to_owned(),
            selection,
        })
    }

    /// The mapping's name: the scenario of a run over it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.mapping.mapping.value
    }

    pub(crate) fn text(&self) -> Text<'_> {
        Text {
            file: &self.mapping_file,
            text: &self.mapping_text,
        }
    }

    /// Reads the dataset's files into memory.
    ///
    /// # Errors
    /// A file that is absent or not of its format.
    pub(crate) fn load(&self) -> Result<Loaded, Error> {
        let source = &self.mapping.source;
        let dataset = std::fs::metadata(&self.dataset).map_err(|source| Error::File {
            path: self.dataset.display().to_string(),
            source,
        });
        let is_file = dataset?.is_file();
        if is_file && 1 < source.files.len() {
            let at = source.files[1].referenced;
            let message = "the mapping reads several source files: give the dataset's directory";
            return Err(Error::Mapping(vec![self.text().diagnostic(at, message)]));
        }
        let directory = match is_file {
            true => self.dataset.parent().unwrap_or(Path::new("")),
            false => &self.dataset,
        };
        let mut payments = Vec::new();
        for file in &source.files {
            let path = match is_file {
                true => self.dataset.clone(),
                false => directory.join(&file.value),
            };
            payments.push(File::open(
                &file.value,
                &path,
                source.format,
                source.csv.as_ref(),
            )?);
        }
        let mut links = Vec::new();
        for link in &self.mapping.links {
            let path = directory.join(&link.file.value);
            links.push(File::open(
                &link.file.value,
                &path,
                link.format,
                link.csv.as_ref(),
            )?);
        }
        let mut lookups = Vec::new();
        for lookup in &source.lookups {
            let path = directory.join(&lookup.file.value);
            lookups.push(File::open(
                &lookup.file.value,
                &path,
                lookup.format,
                lookup.csv.as_ref(),
            )?);
        }
        // The names are the mapping's, so a dataset that was moved is the same dataset.
        let listed: Vec<_> = payments
            .iter()
            .chain(&links)
            .chain(&lookups)
            .map(|it| (it.name.clone(), it.digest))
            .collect();
        let digest = Mapping::digest(&self.mapping_text).to_string();
        let selection = self.selection.to_string();
        Ok(Loaded {
            manifest_fingerprint: ManifestFingerprint::of_world(
                &digest, None, None, &listed, &selection,
            ),
            payments: self.joined(payments, &lookups)?,
            links,
        })
    }

    /// The payments' files with the columns that the lookups bring.
    fn joined(&self, payments: Vec<File>, lookups: &[File]) -> Result<Vec<File>, Error> {
        let maps = &self.mapping.source.lookups;
        let mut faults = Vec::new();
        for (map, file) in maps.iter().zip(lookups) {
            faults.extend(self.missing(&map.key, file));
            faults.extend(
                payments
                    .iter()
                    .filter_map(|it| self.missing(&map.column, it)),
            );
        }
        if !faults.is_empty() {
            return Err(Error::Mapping(faults));
        }
        let mut joined = payments;
        for (map, file) in maps.iter().zip(lookups) {
            let (column, key) = (&map.column.value, &map.key.value);
            let line = map.key.referenced.line();
            let lookup = Arc::new(Lookup::read(&map.name.value, file, column, key, line)?);
            let with = |file: File| file.with(lookup.clone());
            joined = joined.into_iter().map(with).collect();
        }
        Ok(joined)
    }

    fn missing(&self, column: &Spanned<String>, file: &File) -> Option<Diagnostic> {
        let names = || file.schema.fields().iter().map(|it| it.name().as_str());
        if names().any(|name| *name == column.value) {
            return None;
        }
        let message = format!("`{}` has no column `{}`", file.shown, column.value);
        Some(Diagnostic {
            suggestion: suggest(&column.value, names()),
            ..self.text().diagnostic(column.referenced, message)
        })
    }
}

/// The files of a plan, in memory.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) manifest_fingerprint: ManifestFingerprint,
    pub(crate) payments: Vec<File>,
    /// In the order of the mapping.
    pub(crate) links: Vec<File>,
}
