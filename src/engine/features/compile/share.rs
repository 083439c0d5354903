//! Features that ask the same of the same records share it: columns, windows, running aggregates.

use crate::contracts::feature_set::Aggregation;
use crate::engine::features::series::COLUMNS_MAX;
use crate::engine::features::{Accumulator, Column, Group, Output, Window};

/// What a feature reads of its window.
pub(super) struct Asked {
    pub(super) aggregation: Aggregation,
    pub(super) column: Option<Column>,
    /// Microseconds; 0 where nothing decays.
    pub(super) half_life: i64,
}

impl Group {
    /// The window and what is read off it, shared with features that ask the same. `None` where
    /// the group has no room for another column.
    pub(super) fn share(
        &mut self,
        (length, delay, include_current): (i64, i64, bool),
        asked: Asked,
    ) -> Option<(usize, Output)> {
        let is_text = matches!(asked.column, Some(Column::Interned(_)));
        let column = match asked.column {
            None => None,
            Some(column) => Some(self.share_column(column)?),
        };
        let same = |it: &Window| {
            (it.length, it.delay, it.include_current) == (length, delay, include_current)
        };
        let window = self.windows.iter().position(same).unwrap_or_else(|| {
            self.windows.push(Window {
                length,
                delay,
                include_current,
                accumulators: Vec::new(),
                first_accumulator: 0,
            });
            self.windows.len() - 1
        });
        self.labelled |= asked.aggregation == Aggregation::FraudShare;
        let held = &mut self.windows[window].accumulators;
        let mut share = |wanted: Accumulator| {
            held.iter().position(|it| *it == wanted).unwrap_or_else(|| {
                held.push(wanted);
                held.len() - 1
            })
        };
        // Those that take a value have a column: the compiler asked for it.
        let of = column.unwrap_or(0);
        let output = match asked.aggregation {
            Aggregation::Count => Output::Count,
            Aggregation::Sum => Output::Sum(share(Accumulator::Sum(of))),
            Aggregation::Mean => Output::Mean(share(Accumulator::Sum(of))),
            Aggregation::Stddev => Output::Stddev {
                sum: share(Accumulator::Sum(of)),
                squares: share(Accumulator::Squares(of)),
            },
            Aggregation::Min => Output::Min(share(Accumulator::Counted(of))),
            Aggregation::Max => Output::Max(share(Accumulator::Counted(of))),
            Aggregation::Distinct => Output::Distinct(share(Accumulator::Counted(of))),
            Aggregation::First => Output::First {
                column: of,
                is_text,
            },
            Aggregation::Last => Output::Last {
                column: of,
                is_text,
            },
            Aggregation::TimeSinceFirst => Output::TimeSinceFirst,
            Aggregation::TimeSinceLast => Output::TimeSinceLast,
            Aggregation::DecayedCount | Aggregation::DecayedSum => {
                let half_life = asked.half_life;
                Output::Decayed {
                    at: share(Accumulator::Decayed { column, half_life }),
                    half_life,
                }
            }
            Aggregation::FraudShare => Output::FraudShare(share(Accumulator::Fraud)),
        };
        Some((window, output))
    }

    fn share_column(&mut self, column: Column) -> Option<usize> {
        if let Some(at) = self.columns.iter().position(|it| *it == column) {
            return Some(at);
        }
        if self.columns.len() == COLUMNS_MAX {
            return None;
        }
        self.columns.push(column);
        Some(self.columns.len() - 1)
    }
}

/// Numbers the accumulators of each group.
pub(super) fn number(groups: Vec<Group>) -> Vec<Group> {
    let mut groups = groups;
    for group in &mut groups {
        let mut next = 0;
        for window in &mut group.windows {
            window.first_accumulator = next;
            next += window.accumulators.len();
        }
    }
    groups
}
