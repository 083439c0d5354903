//! A mapping's YAML as a [`Mapping`], with the checks that need no data. Every finding names file,
//! line and column.

use std::collections::BTreeSet;

use serde_saphyr::{Error as Yaml, Location, Spanned};

use crate::contracts::mapping::{Csv, Earlier, EntitiesMap, LookupMap, Mapping, Moment, Value};
use crate::ingress::world::error::{Diagnostic, Text, suggest};
use crate::ingress::world::moment;

/// Attributes of one payment, as the payload's schema has it.
const ATTRIBUTES_MAX: usize = 64;

/// # Errors
/// What the file does not say rightly: the first fault of its YAML, or all faults of its meaning.
pub fn parse(file: &str, text: &str) -> Result<Mapping, Vec<Diagnostic>> {
    let source = Text { file, text };
    // A mapping needs no anchors, and they could expand without end.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_anchors: 0, max_aliases: 0, max_depth: 16, max_documents: 1 },
        with_snippet: false,
    };
    let mapping: Mapping = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| vec![diagnose(&source, &error)])?;
    let mut faults = Vec::new();
    check(&mapping, &mut |at, message| {
        faults.push(source.diagnostic(at, message));
    });
    faults.sort_by_key(|it| (it.line, it.column));
    match faults.is_empty() {
        true => Ok(mapping),
        false => Err(faults),
    }
}

pub(crate) fn diagnose(source: &Text<'_>, error: &Yaml) -> Diagnostic {
    let error = error.without_snippet();
    let at = error.location().unwrap_or(Location::UNKNOWN);
    let (message, suggestion) = match error {
        Yaml::SerdeUnknownField {
            field, expected, ..
        } => (
            format!("unknown key `{field}`"),
            suggest(field, expected.iter().copied()),
        ),
        Yaml::SerdeUnknownVariant {
            variant, expected, ..
        } => (
            format!("unknown word `{variant}`"),
            suggest(variant, expected.iter().copied()),
        ),
        Yaml::SerdeMissingField { field, .. } => (format!("the key `{field}` is missing"), None),
        other => {
            let message = other.to_string();
            // The message repeats its place in words; the finding has it already.
            let message = message.split(" at line ").next().unwrap_or(&message);
            let message = match message.trim() {
                "invalid u8" => "a whole number from 0 to 255 is needed here",
                message => message,
            };
            (message.to_owned(), None)
        }
    };
    Diagnostic {
        suggestion,
        ..source.diagnostic(at, message)
    }
}

type Report<'r> = &'r mut dyn FnMut(Location, String);

fn check(mapping: &Mapping, report: Report<'_>) {
    let name = &mapping.mapping;
    let legal = |it: u8| it.is_ascii_alphanumeric() || b"._-".contains(&it);
    if !(1..=64).contains(&name.value.len()) || !name.value.bytes().all(legal) {
        let message = "a mapping's name is 1 to 64 of A-Z a-z 0-9 . _ -";
        report(name.referenced, message.to_owned());
    }
    if mapping.source.files.is_empty() {
        report(name.referenced, "source.files names no file".to_owned());
    }
    let mut names = BTreeSet::new();
    let links = mapping.links.iter().map(|it| &it.file);
    for file in mapping.source.files.iter().chain(links) {
        check_file(file, &mut names, report);
    }
    check_lookups(&mapping.source.lookups, report);
    let csvs = mapping.links.iter().map(|it| &it.csv);
    let lookups = mapping.source.lookups.iter().map(|it| &it.csv);
    for csv in csvs.chain(lookups).chain([&mapping.source.csv]).flatten() {
        check_csv(csv, report);
    }
    check_arrival(mapping, report);
    for truth in &mapping.truth {
        let at = truth.label_type.referenced;
        if truth.observed_after.is_some() == truth.observed_at.is_some() {
            let message = "truth is known either observed_after a period or observed_at a column";
            report(at, message.to_owned());
        }
        if let Some(moment) = &truth.observed_at {
            check_moment(moment, report);
        } else if truth.earlier != Earlier::Refused {
            let message = "earlier: at_payment goes with observed_at";
            report(at, message.to_owned());
        }
        let named =
            |it: &str| (1..=128).contains(&it.len()) && it.bytes().all(|it| it.is_ascii_graphic());
        if let Some(source) = truth.source.as_ref().filter(|it| !named(&it.value)) {
            report(
                source.referenced,
                "a source is 1 to 128 printable ASCII characters".to_owned(),
            );
        }
    }
    let mut tables = BTreeSet::new();
    for link in &mapping.links {
        let table = link.table();
        if table.is_empty() || 64 < table.len() || !table.bytes().all(legal) {
            let message = "a link's file, up to its first dot, is 1 to 64 of A-Z a-z 0-9 _ -: it enters event ids";
            report(link.file.referenced, message.to_owned());
        }
        if !tables.insert(table) {
            let message = format!("two files of links would both be table `{table}` in event ids");
            report(link.file.referenced, message);
        }
        check_moment(&link.ts, report);
        if entities(&link.entities.value).count() < 2 {
            let message = "a link joins at least two entities".to_owned();
            report(link.entities.referenced, message);
        }
    }
}

fn check_lookups(lookups: &[LookupMap], report: Report<'_>) {
    let (mut names, mut files) = (BTreeSet::new(), BTreeSet::new());
    for lookup in lookups {
        check_file(&lookup.file, &mut files, report);
        let name = &lookup.name;
        let legal = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_';
        if !(1..=32).contains(&name.value.len()) || !name.value.bytes().all(legal) {
            let message = "a lookup's name is 1 to 32 of a-z 0-9 _";
            report(name.referenced, message.to_owned());
        }
        if !names.insert(&name.value) {
            let message = format!("two lookups are named `{}`", name.value);
            report(name.referenced, message);
        }
    }
}

fn check_file<'m>(file: &'m Spanned<String>, names: &mut BTreeSet<&'m str>, report: Report<'_>) {
    let outside = file
        .value
        .split('/')
        .any(|it| matches!(it, "" | "." | ".."));
    if outside {
        let message = "a file is named below the dataset's directory, such as payments.csv";
        report(file.referenced, message.to_owned());
    }
    if !names.insert(&file.value) {
        report(file.referenced, format!("`{}` is named twice", file.value));
    }
}

fn check_csv(csv: &Csv, report: Report<'_>) {
    if !csv.delimiter.value.is_ascii() {
        report(
            csv.delimiter.referenced,
            "a delimiter is one ASCII character".to_owned(),
        );
    }
}

fn check_moment(moment: &Spanned<Moment>, report: Report<'_>) {
    if let Err(message) = moment::check_format(&moment.value.format) {
        report(moment.referenced, message);
    }
}

fn check_arrival(mapping: &Mapping, report: Report<'_>) {
    let arrival = &mapping.arrival;
    check_moment(&arrival.ts, report);
    if arrival.entities.value.customer_id.is_none() {
        let message = "a payment needs its customer_id".to_owned();
        report(arrival.entities.referenced, message);
    }
    let scale = &arrival.amount_minor.value.scale;
    if 9 < scale.value {
        report(scale.referenced, "a scale is 0 to 9".to_owned());
    }
    if ATTRIBUTES_MAX < arrival.attributes.len() {
        let at = arrival.attributes.values().next();
        let at = at.map_or(Location::UNKNOWN, |it| it.referenced);
        report(at, format!("there are at most {ATTRIBUTES_MAX} attributes"));
    }
    for (name, value) in &arrival.attributes {
        let body = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_';
        let starts = name
            .bytes()
            .next()
            .is_some_and(|it| it.is_ascii_lowercase());
        if !starts || 64 < name.len() || !name.bytes().all(body) {
            let message = "an attribute's name is a small letter, then up to 63 of a-z 0-9 _";
            report(value.referenced, format!("`{name}`: {message}"));
        }
    }
}

/// The entities that are mapped, by their field.
pub(crate) fn entities(map: &EntitiesMap) -> impl Iterator<Item = (&'static str, &Spanned<Value>)> {
    let fields = [
        ("customer_id", &map.customer_id),
        ("account_id", &map.account_id),
        ("card_id", &map.card_id),
        ("device_id", &map.device_id),
        ("ip", &map.ip),
        ("terminal_id", &map.terminal_id),
        ("beneficiary_id", &map.beneficiary_id),
    ];
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)))
}
