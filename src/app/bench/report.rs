//! What a bench prints: ratios with both of their numbers, CPU time per million, what was measured,
//! what ran beside it.

use serde::Serialize;

use crate::app::bench::machine::{Cpu, Machine};
use crate::app::commands::table::table;
use crate::app::output::Output;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) bench: &'static str,
    pub(crate) machine: Machine,
    pub(crate) ratios: Vec<Ratio>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu: Option<CpuPerMillion>,
    pub(crate) measures: Vec<Measure>,
    /// What the numbers do not say.
    pub(crate) notes: Vec<&'static str>,
}

/// Two numbers of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Ratio {
    pub(crate) what: String,
    pub(crate) numerator: f64,
    pub(crate) denominator: f64,
    pub(crate) ratio: f64,
    /// `at least 0.25`; none where there is no goal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) goal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) met: Option<bool>,
}

/// What a ratio should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    None,
}

impl Ratio {
    pub(crate) fn new(
        what: impl Into<String>,
        numerator: f64,
        denominator: f64,
        goal: Goal,
    ) -> Ratio {
        let ratio = numerator / denominator;
        let (goal, met) = match goal {
            Goal::AtLeast(least) => (Some(format!("at least {least}")), Some(ratio >= least)),
            Goal::AtMost(most) => (Some(format!("at most {most}")), Some(ratio <= most)),
            Goal::None => (None, None),
        };
        Ratio {
            what: what.into(),
            numerator: short(numerator),
            denominator: short(denominator),
            ratio: short(ratio),
            goal,
            met,
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct CpuPerMillion {
    /// Of what a million is: events, decisions.
    pub(crate) of: &'static str,
    pub(crate) executable_s: f64,
    pub(crate) postgres_s: f64,
    pub(crate) total_s: f64,
    /// Of the load generator, where it is told apart: not in the total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) generator_s: Option<f64>,
    pub(crate) goal_s: f64,
    pub(crate) met: bool,
}

impl CpuPerMillion {
    pub(crate) fn new(of: &'static str, cpu: Cpu, n: f64, goal_s: f64) -> CpuPerMillion {
        let per_million = |seconds: f64| short(seconds / n * 1e6);
        let total_s = per_million(cpu.total_s());
        CpuPerMillion {
            of,
            executable_s: per_million(cpu.executable_s),
            postgres_s: per_million(cpu.postgres_s),
            total_s,
            generator_s: (cpu.generator_s > 0.0).then(|| per_million(cpu.generator_s)),
            goal_s,
            met: total_s <= goal_s,
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Measure {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
}

pub(crate) fn measure(what: impl Into<String>, value: f64, unit: &'static str) -> Measure {
    Measure {
        what: what.into(),
        value: short(value),
        unit,
    }
}

/// Four digits are all that these numbers mean.
fn short(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

impl Report {
    pub(crate) fn print(&self, output: &Output) {
        output.result(self, Report::shown);
    }

    fn shown(&self) -> String {
        let goal = |goal: Option<&str>, met: Option<bool>| match (goal, met) {
            (Some(goal), Some(true)) => format!("{goal}: met"),
            (Some(goal), _) => format!("{goal}: MISSED"),
            (None, _) => String::new(),
        };
        let ratios = self.ratios.iter().map(|it| {
            let both = format!("{} / {}", it.numerator, it.denominator);
            vec![
                it.what.clone(),
                both,
                it.ratio.to_string(),
                goal(it.goal.as_deref(), it.met),
            ]
        });
        let cpu = self.cpu.iter().map(|it| {
            let mut both = format!(
                "executable {} + Postgres {}",
                it.executable_s, it.postgres_s
            );
            if let Some(generator_s) = it.generator_s {
                both.push_str(&format!("; load generator {generator_s}"));
            }
            let wanted = format!("at most {}", it.goal_s);
            vec![
                format!("CPU-s per million {}", it.of),
                both,
                it.total_s.to_string(),
                goal(Some(&wanted), Some(it.met)),
            ]
        });
        let head = ["RATIO", "OF", "IS", "GOAL"];
        let ratios = table(&head, ratios.chain(cpu), &[2]);
        let measures = self
            .measures
            .iter()
            .map(|it| vec![it.what.clone(), it.value.to_string(), it.unit.to_owned()]);
        let measures = table(&["MEASURED", "", ""], measures, &[1]);
        let machine = &self.machine;
        let built = if machine.with_assertions {
            "built WITH ASSERTIONS, not as shipped"
        } else {
            "built as shipped"
        };
        let [before, after] = machine.load_average;
        let mut text = format!(
            "{ratios}\n\n{measures}\n\n{} on {} CPUs, {built}; load average {before} before, {after} after",
            machine.release, machine.cpus
        );
        for note in &self.notes {
            text.push_str("\nnote: ");
            text.push_str(note);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_far_as_they_mean_something() {
        let shown = [123_456.7, 0.000_123_456, 12.0, 0.0, -2.516_49].map(short);
        assert_eq!(shown, [123_500.0, 0.000_123_5, 12.0, 0.0, -2.516]);
    }

    #[test]
    fn a_missed_goal_is_said() {
        let missed = Ratio::new("x", 1.0, 8.0, Goal::AtLeast(0.25));
        assert_eq!((missed.ratio, missed.met), (0.125, Some(false)));
        let met = Ratio::new("x", 1.0, 8.0, Goal::AtMost(0.25));
        assert_eq!(met.met, Some(true));
        let cpu = Cpu {
            executable_s: 3.0,
            postgres_s: 1.0,
            generator_s: 2.0,
        };
        let cpu = CpuPerMillion::new("events", cpu, 500_000.0, 7.0);
        assert_eq!((cpu.total_s, cpu.met), (8.0, false));
        assert_eq!(cpu.generator_s, Some(4.0), "it is no part of the total");
    }
}
