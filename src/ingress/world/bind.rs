//! Binds a mapping to the columns that the files really have. All findings of a mapping are
//! reported at once, each with its place and the nearest column.

use serde_saphyr::{Location, Spanned};

use crate::contracts::mapping::{
    Amount, Earlier, EntitiesMap, LinkMap, Mapping, Moment, MomentFormat, Part, TRUTH_SOURCE,
    TruthMap, Value,
};
use crate::domain::vocabulary::LabelType;
use crate::ingress::world::cell::Kind;
use crate::ingress::world::error::{Diagnostic, Text, suggest};
use crate::ingress::world::field::{Check, Field, FieldSource, Piece};
use crate::ingress::world::moment;
use crate::ingress::world::table::File;
use crate::ingress::world::yaml;

/// A moment bound to its column.
#[derive(Debug)]
pub(crate) struct When {
    pub(crate) at: usize,
    pub(crate) name: String,
    pub(crate) format: MomentFormat,
    pub(crate) line: u64,
}

/// What both payments and links are made of.
#[derive(Debug)]
pub(crate) struct Arrivals {
    /// `None`: the row number.
    pub(crate) row_id: Option<Field>,
    pub(crate) ts: When,
    pub(crate) merchant_id: Field,
    /// By the field of [`crate::contracts::world::Entities`].
    pub(crate) entities: Vec<(&'static str, Field)>,
    /// Columns of the table that order its rows.
    pub(crate) order_by: Vec<usize>,
    pub(crate) payment: Option<Payments>,
    /// The columns to read, which the fields index.
    pub(crate) columns: Vec<String>,
}

/// What only payments have.
#[derive(Debug)]
pub(crate) struct Payments {
    pub(crate) amount: Sum,
    pub(crate) currency: Field,
    pub(crate) channel: Field,
    pub(crate) mcc: Option<Field>,
    pub(crate) country: Option<Field>,
    pub(crate) attributes: Vec<(String, Field)>,
    pub(crate) truth: Vec<Truths>,
}

#[derive(Debug)]
pub(crate) struct Sum {
    pub(crate) at: usize,
    pub(crate) name: String,
    pub(crate) scale: u8,
    pub(crate) line: u64,
}

#[derive(Debug)]
pub(crate) struct Truths {
    pub(crate) label_type: LabelType,
    pub(crate) value: Field,
    pub(crate) observed: Observed,
    pub(crate) earlier: Earlier,
    pub(crate) source: String,
    pub(crate) scenario: Option<Field>,
}

#[derive(Debug)]
pub(crate) enum Observed {
    After { micros: i64 },
    At(When),
}

/// Payments of the source files.
pub(crate) fn payments(
    text: Text<'_>,
    mapping: &Mapping,
    files: &[File],
) -> Result<Arrivals, Vec<Diagnostic>> {
    let mut binder = Binder::new(text, files);
    let map = &mapping.arrival;
    let payment = Payments {
        amount: binder.amount(&map.amount_minor),
        currency: binder.field(&map.currency, Check::Currency),
        channel: binder.field(&map.channel, Check::Channel),
        mcc: binder.optional(&map.mcc, Check::Mcc),
        country: binder.optional(&map.country, Check::Country),
        attributes: {
            let bind =
                |(name, value): (&String, _)| (name.clone(), binder.field(value, Check::Attribute));
            map.attributes.iter().map(bind).collect()
        },
        truth: mapping.truth.iter().map(|it| binder.truth(it)).collect(),
    };
    let arrivals = Arrivals {
        row_id: Some(binder.field(&map.row_id, Check::Id)),
        ts: binder.when(&map.ts),
        merchant_id: binder.field(&map.merchant_id, Check::Id),
        entities: binder.entities(&map.entities.value),
        order_by: mapping
            .source
            .order_by
            .iter()
            .map(|it| binder.column(&it.value, it.referenced).0)
            .collect(),
        payment: Some(payment),
        columns: Vec::new(),
    };
    binder.finish(arrivals)
}

/// Links of one file.
pub(crate) fn links(
    text: Text<'_>,
    map: &LinkMap,
    file: &File,
) -> Result<Arrivals, Vec<Diagnostic>> {
    let mut binder = Binder::new(text, std::slice::from_ref(file));
    let arrivals = Arrivals {
        row_id: binder.optional(&map.row_id, Check::Id),
        ts: binder.when(&map.ts),
        merchant_id: binder.field(&map.merchant_id, Check::Id),
        entities: binder.entities(&map.entities.value),
        order_by: Vec::new(),
        payment: None,
        columns: Vec::new(),
    };
    binder.finish(arrivals)
}

struct Binder<'b> {
    text: Text<'b>,
    files: &'b [File],
    columns: Vec<String>,
    faults: Vec<Diagnostic>,
}

impl<'b> Binder<'b> {
    fn new(text: Text<'b>, files: &'b [File]) -> Binder<'b> {
        Binder {
            text,
            files,
            columns: Vec::new(),
            faults: Vec::new(),
        }
    }

    fn finish(self, arrivals: Arrivals) -> Result<Arrivals, Vec<Diagnostic>> {
        match self.faults.is_empty() {
            true => Ok(Arrivals {
                columns: self.columns,
                ..arrivals
            }),
            false => Err(self.faults),
        }
    }

    fn report(&mut self, at: Location, message: String, suggestion: Option<String>) {
        self.faults.push(Diagnostic {
            suggestion,
            ..self.text.diagnostic(at, message)
        });
    }

    /// The index of a column among those that are read, and what it holds in each file.
    fn column(&mut self, name: &str, at: Location) -> (usize, Vec<Kind>) {
        let mut kinds = Vec::new();
        for file in self.files {
            let found: Vec<_> = file
                .schema
                .fields()
                .iter()
                .filter(|it| it.name() == name)
                .collect();
            match found.as_slice() {
                [] => {
                    let names = file.schema.fields().iter().map(|it| it.name().as_str());
                    let message = format!("`{}` has no column `{name}`", file.shown);
                    self.report(at, message, suggest(name, names));
                }
                [field] => match Kind::of(field.data_type()) {
                    Some(kind) => kinds.push(kind),
                    None => {
                        let message = format!(
                            "column `{name}` of `{}` has type {}, which no mapping reads",
                            file.shown,
                            field.data_type()
                        );
                        self.report(at, message, None);
                    }
                },
                _ => {
                    let message = format!("`{}` has several columns `{name}`", file.shown);
                    self.report(at, message, None);
                }
            }
        }
        let known = self.columns.iter().position(|it| it == name);
        let index = known.unwrap_or_else(|| {
            self.columns.push(name.to_owned());
            self.columns.len() - 1
        });
        (index, kinds)
    }

    fn field(&mut self, value: &Spanned<Value>, check: Check) -> Field {
        let place = value.referenced;
        let source = match &value.value {
            Value::Const(text) => {
                self.word(place, check, text);
                FieldSource::Const(text.clone())
            }
            Value::Column { name, at, map } => {
                for word in map.iter().flat_map(|it| it.values()) {
                    self.word(place, check, word);
                }
                FieldSource::Column {
                    name: name.clone(),
                    at: self.text_column(name, at.unwrap_or(place)),
                    map: map.clone(),
                }
            }
            Value::Template(parts) => {
                let bind = |part: &Part| match part {
                    Part::Text(text) => Piece::Text(text.clone()),
                    Part::Column(name) => Piece::Column {
                        name: name.clone(),
                        at: self.text_column(name, place),
                    },
                };
                FieldSource::Template(parts.iter().map(bind).collect())
            }
        };
        Field {
            check,
            line: place.line(),
            source,
        }
    }

    fn optional(&mut self, value: &Option<Spanned<Value>>, check: Check) -> Option<Field> {
        value.as_ref().map(|it| self.field(it, check))
    }

    /// A word that the mapping itself brings is checked once, here.
    fn word(&mut self, at: Location, check: Check, word: &str) {
        if let Err(expected) = check.text(word) {
            self.report(at, format!("`{word}`: {expected}"), None);
        }
    }

    fn text_column(&mut self, name: &str, at: Location) -> usize {
        let (index, kinds) = self.column(name, at);
        if kinds.contains(&Kind::Time) {
            let message = format!("column `{name}` holds times, which have no text form here");
            self.report(at, message, None);
        }
        index
    }

    fn when(&mut self, value: &Spanned<Moment>) -> When {
        let Moment { col, at, format } = &value.value;
        let place = at.unwrap_or(value.referenced);
        let (index, kinds) = self.column(col, place);
        if let Some(misfit) = kinds.iter().find_map(|kind| moment::misfit(format, *kind)) {
            self.report(place, format!("column `{col}`: {misfit}"), None);
        }
        When {
            at: index,
            name: col.clone(),
            format: format.clone(),
            line: value.referenced.line(),
        }
    }

    fn amount(&mut self, value: &Spanned<Amount>) -> Sum {
        let Amount { col, scale, .. } = &value.value;
        let (at, kinds) = self.column(&col.value, col.referenced);
        if kinds.iter().any(|it| matches!(it, Kind::Bool | Kind::Time)) {
            let message = format!("column `{}` holds no numbers", col.value);
            self.report(col.referenced, message, None);
        }
        Sum {
            at,
            name: col.value.clone(),
            scale: scale.value,
            line: value.referenced.line(),
        }
    }

    fn entities(&mut self, map: &EntitiesMap) -> Vec<(&'static str, Field)> {
        let check = |name| if name == "ip" { Check::Ip } else { Check::Id };
        yaml::entities(map)
            .map(|(name, value)| (name, self.field(value, check(name))))
            .collect()
    }

    fn truth(&mut self, map: &TruthMap) -> Truths {
        let label_type = map.label_type.value;
        let observed = match (&map.observed_at, &map.observed_after) {
            (Some(moment), _) => Observed::At(self.when(moment)),
            (None, Some(period)) => Observed::After {
                micros: period.value.micros,
            },
            // The YAML check has refused this.
            (None, None) => Observed::After { micros: 0 },
        };
        let source = map.source.as_ref().map(|it| it.value.clone());
        Truths {
            label_type,
            value: self.field(&map.value, Check::Label(label_type)),
            observed,
            earlier: map.earlier,
            source: source.unwrap_or_else(|| TRUTH_SOURCE.to_owned()),
            scenario: self.optional(&map.scenario, Check::Name),
        }
    }
}
