//! A scenario's YAML as a [`Scenario`], with every number within its bounds; and the plan of a world
//! that follows from it. Every finding names file, line and column.

use std::path::Path;

use serde_saphyr::{Location, Spanned};

use crate::contracts::scenario::{Campaign, Delay, Scenario};
use crate::domain::ids::ManifestFingerprint;
use crate::domain::time::MICROS_PER_DAY;
use crate::ingress::world::error::{Diagnostic, Error, Text};
use crate::ingress::world::scenario::GENERATOR_REV;
use crate::ingress::world::scenario::trades::TRADES;
use crate::ingress::world::yaml::diagnose;

const DAYS_MAX: f64 = 3_660.0;
const CUSTOMERS_MAX: f64 = 50_000_000.0;
const MERCHANTS_MAX: f64 = 10_000_000.0;
/// A campaign counts its payments in 16 bits.
const SIZE_MAX: f64 = 60_000.0;

/// A scenario to be made with a seed.
#[derive(Debug, Clone)]
pub struct ScenarioPlan {
    text: String,
    scenario: Scenario,
    seed: i64,
}

impl ScenarioPlan {
    /// `seed` stands in for the file's own.
    ///
    /// # Errors
    /// An unreadable or faulty scenario.
    pub fn read(path: &Path, seed: Option<i64>) -> Result<ScenarioPlan, Error> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| Error::File {
            path: file.clone(),
            source,
        });
        ScenarioPlan::parse(&file, text?, seed)
    }

    /// As [`ScenarioPlan::read`], of a text; `file` names it in errors.
    ///
    /// # Errors
    /// A faulty scenario.
    pub fn parse(file: &str, text: String, seed: Option<i64>) -> Result<ScenarioPlan, Error> {
        let scenario = parse(file, &text).map_err(Error::Scenario)?;
        Ok(ScenarioPlan {
            seed: seed.unwrap_or(scenario.seed.value),
            scenario,
            text,
        })
    }

    /// The scenario of a run over it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.scenario.scenario.value
    }

    #[must_use]
    pub fn seed(&self) -> i64 {
        self.seed
    }

    pub(crate) fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Follows from the generator, the text as it stands, and the seed.
    #[must_use]
    pub fn manifest_fingerprint(&self) -> ManifestFingerprint {
        ManifestFingerprint::of_world(
            &format!("generator-{GENERATOR_REV}"),
            Some(&Scenario::digest(&self.text)),
            Some(self.seed),
            &[],
            "all",
        )
    }
}

/// # Errors
/// What the file does not say rightly: the first fault of its YAML, or all faults of its meaning.
pub fn parse(file: &str, text: &str) -> Result<Scenario, Vec<Diagnostic>> {
    let source = Text { file, text };
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_anchors: 0, max_aliases: 0, max_depth: 16, max_documents: 1 },
        with_snippet: false,
    };
    let scenario: Scenario = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| vec![diagnose(&source, &error)])?;
    let mut checks = Checks {
        source,
        faults: Vec::new(),
    };
    checks.scenario(&scenario);
    checks.faults.sort_by_key(|it| (it.line, it.column));
    match checks.faults.is_empty() {
        true => Ok(scenario),
        false => Err(checks.faults),
    }
}

struct Checks<'t> {
    source: Text<'t>,
    faults: Vec<Diagnostic>,
}

impl Checks<'_> {
    fn report(&mut self, at: Location, message: impl Into<String>) {
        self.faults.push(self.source.diagnostic(at, message));
    }

    fn within<T: Copy + Into<f64>>(&mut self, value: &Spanned<T>, what: &str, from: f64, to: f64) {
        let found: f64 = value.value.into();
        // Not a number is within nothing.
        if !(from..=to).contains(&found) {
            let message = format!("{what} is {from} to {to}, not {found}");
            self.report(value.referenced, message);
        }
    }

    fn share(&mut self, value: &Spanned<f64>, what: &str) {
        self.within(value, what, 0.0, 1.0);
    }

    fn pair(&mut self, value: &Spanned<[u32; 2]>, what: &str, to: f64) {
        let [low, high] = value.value.map(f64::from);
        if low < 1.0 || to < high || high < low {
            let message = format!("{what} is [least, most] of 1 to {to}");
            self.report(value.referenced, message);
        }
    }

    fn name(&mut self, name: &Spanned<String>, what: &str) {
        let legal = |it: u8| it.is_ascii_alphanumeric() || b"._-".contains(&it);
        if !(1..=64).contains(&name.value.len()) || !name.value.bytes().all(legal) {
            let message = format!("{what} is 1 to 64 of A-Z a-z 0-9 . _ -");
            self.report(name.referenced, message);
        }
    }

    fn delay(&mut self, delay: &Spanned<Delay>, what: &str) {
        let Delay { p50, p95 } = delay.value;
        let fits = 0.0 < p50 && p50 <= p95 && p95 <= DAYS_MAX;
        if !fits {
            let message =
                format!("{what}: p50 is above 0, p95 is not below it, at most {DAYS_MAX}");
            self.report(delay.referenced, message);
        }
    }

    fn scenario(&mut self, scenario: &Scenario) {
        self.name(&scenario.scenario, "a scenario's name");
        if scenario.seed.value < 0 {
            self.report(scenario.seed.referenced, "a seed is not negative");
        }
        let start = scenario.start.value;
        let years = (0..7_258_118_400).contains(&(start.micros() / 1_000_000));
        if start.micros() % MICROS_PER_DAY != 0 || !years {
            let message = "a world starts at a midnight in UTC from 1970 to 2199, such as 2025-01-01T00:00:00Z";
            self.report(scenario.start.referenced, message);
        }
        self.within(&scenario.days, "days", 1.0, DAYS_MAX);
        self.population(scenario);
        self.payments(scenario);
        self.seasons(scenario);
        self.truth(scenario);
        if 2_000 < scenario.campaigns.len() {
            let at = scenario.campaigns[2_000].campaign_type.referenced;
            self.report(at, "there are at most 2000 campaigns");
        }
        for campaign in &scenario.campaigns {
            self.campaign(campaign);
        }
    }

    fn population(&mut self, scenario: &Scenario) {
        let it = &scenario.population;
        self.within(&it.customers, "customers", 1.0, CUSTOMERS_MAX);
        let countries = &it.countries;
        let legal =
            |name: &String| name.len() == 2 && name.bytes().all(|it| it.is_ascii_uppercase());
        let weight = |it: &f64| 0.0 < *it && it.is_finite();
        if !(1..=50).contains(&countries.value.len())
            || !countries.value.keys().all(legal)
            || !countries.value.values().all(weight)
        {
            let message = "countries are 1 to 50 of two capital letters each, with weights above 0";
            self.report(countries.referenced, message);
        }
        let least = (TRADES.len() * countries.value.len()) as f64;
        self.within(
            &it.merchants,
            &format!("merchants ({} trades in every country)", TRADES.len()),
            least,
            MERCHANTS_MAX,
        );
        self.pair(
            &it.terminals_per_merchant,
            "terminals_per_merchant",
            1_000.0,
        );
        self.pair(&it.cards_per_customer, "cards_per_customer", 16.0);
        self.pair(&it.devices_per_customer, "devices_per_customer", 16.0);
        self.within(&it.favourites, "favourites", 1.0, 100.0);
        self.share(&it.loyalty, "loyalty");
        self.share(&it.travel, "travel");
    }

    fn payments(&mut self, scenario: &Scenario) {
        let it = &scenario.payments;
        self.within(&it.per_customer_day, "per_customer_day", 0.001, 500.0);
        self.within(&it.unevenness, "unevenness", 0.0, 2.0);
        self.within(&it.amounts.unevenness, "unevenness", 0.0, 2.0);
        self.within(&it.amounts.level, "level", 0.001, 1_000.0);
        let code = &it.currency;
        if code.value.len() != 3 || !code.value.bytes().all(|it| it.is_ascii_uppercase()) {
            self.report(code.referenced, "a currency is three capital letters");
        }
        let channels = &it.channels;
        let all = [
            &channels.pos,
            &channels.ecom,
            &channels.moto,
            &channels.atm,
            &channels.transfer,
        ];
        for channel in all {
            self.within(channel, "a channel's weight", 0.0, 1_000.0);
        }
        if all.iter().all(|it| it.value == 0.0) {
            self.report(channels.pos.referenced, "every channel has weight 0");
        }
    }

    fn seasons(&mut self, scenario: &Scenario) {
        let season = &scenario.seasonality;
        let weekdays = &season.weekdays;
        let factor = |it: &f64| (0.0..=100.0).contains(it);
        if !weekdays.value.iter().all(factor) || weekdays.value.iter().all(|it| *it == 0.0) {
            let message = "weekdays are seven factors of 0 to 100, Monday first, not all 0";
            self.report(weekdays.referenced, message);
        }
        self.within(&season.growth, "growth", -0.9, 10.0);
        if let Some(payday) = &season.payday {
            self.within(&payday.day, "a day of the month", 1.0, 31.0);
            self.within(&payday.factor, "a factor", 0.0, 100.0);
        }
        for holiday in &season.holidays {
            self.within(&holiday.factor, "a factor", 0.0, 100.0);
            let shape: String = holiday
                .date
                .value
                .chars()
                .map(|it| if it.is_ascii_digit() { '9' } else { it })
                .collect();
            if shape != "99-99" {
                let message = "a date is MM-DD in quotes, such as \"12-24\"";
                self.report(holiday.date.referenced, message);
            }
        }
        for drift in &scenario.drift {
            self.within(&drift.day, "a drift's day", 0.0, DAYS_MAX);
            self.within(&drift.amounts, "amounts", 0.001, 1_000.0);
            self.within(&drift.online, "online", 0.0, 1_000.0);
            self.within(&drift.later_hours, "later_hours", -23.0, 23.0);
            self.share(&drift.new_habits, "new_habits");
        }
    }

    fn truth(&mut self, scenario: &Scenario) {
        let control = &scenario.control;
        for hit in control.hit.values() {
            self.share(hit, "a hit rate");
        }
        // Large payments are looked at six times as often.
        self.within(&control.false_alarms, "false_alarms", 0.0, 0.05);
        self.within(&control.reviewed, "reviewed", 0.0, 0.1);
        let labels = &scenario.labels;
        self.delay(&labels.chargeback_days, "chargeback_days");
        self.delay(&labels.report_days, "report_days");
        self.delay(&labels.review_days, "review_days");
        self.share(&labels.reported, "reported");
        self.share(&labels.never, "never");
        self.share(&labels.wrong, "wrong");
        self.within(&labels.mistaken, "mistaken", 0.0, 0.1);
    }

    fn campaign(&mut self, it: &Campaign) {
        self.within(&it.per_day, "per_day", 0.0, 100_000.0);
        self.share(&it.stealth, "stealth");
        self.share(&it.adaptation, "adaptation");
        if let Some(name) = &it.name {
            self.name(name, "a campaign's name");
        }
        if let Some(to_day) = &it.to_day
            && to_day.value <= it.from_day.value
        {
            self.report(to_day.referenced, "to_day comes after from_day");
        }
        if let Some(days) = &it.days {
            self.within(days, "a campaign's days", 0.001, 400.0);
        }
        if let Some(size) = &it.size {
            self.pair(size, "size", SIZE_MAX);
        }
        if let Some(amount) = &it.amount {
            self.within(amount, "amount", 0.01, 100.0);
        }
        if let Some(take_rate) = &it.take_rate {
            self.share(take_rate, "take_rate");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_seed_is_another_world() {
        let seeds: BTreeSet<String> = [None, Some(1), Some(2)]
            .map(|seed| {
                let plan = ScenarioPlan::parse("s.yaml", LEAST.to_owned(), seed).unwrap();
                plan.manifest_fingerprint().to_string()
            })
            .into();
        assert_eq!(seeds.len(), 3);
    }

    const LEAST: &str = "scenario: least
seed: 42
start: 2025-01-01T00:00:00Z
days: 2
population: {customers: 10, merchants: 100}
payments: {per_customer_day: 1.5}
";

    #[track_caller]
    fn check(from: &str, to: &str, line: u64, message: &str, suggestion: Option<&str>) {
        let text = LEAST.replace(from, to);
        assert_ne!(text, LEAST);
        let faults = parse("s.yaml", &text).unwrap_err();
        assert_eq!(faults[0].line, line, "{faults:?}");
        assert!(faults[0].message.contains(message), "{faults:?}");
        assert_eq!(faults[0].suggestion.as_deref(), suggestion, "{faults:?}");
    }

    #[test]
    fn faults_have_their_place() {
        assert_eq!(parse("s.yaml", LEAST).unwrap().days.value, 2);
        let help = Some("did you mean `customers`?");
        check("customers", "custmers", 5, "unknown key `custmers`", help);
        check("days: 2", "days: 0", 4, "days is 1 to 3660", None);
        check("00:00:00Z", "01:00:00Z", 3, "midnight", None);
        check("100}", "20}", 5, "19 trades in every country", None);
        check("seed: 42\n", "", 5, "`seed` is missing", None);
        check("1.5", ".nan", 6, "per_customer_day is 0.001 to 500", None);
        let campaign = "1.5}\ncampaigns: [{type: card_testin, per_day: 1}]";
        let help = Some("did you mean `card_testing`?");
        check("1.5}", campaign, 7, "unknown word `card_testin`", help);
        let labels = "1.5}\nlabels: {chargeback_days: {p50: 9, p95: 3}}";
        check("1.5}", labels, 7, "p95 is not below it", None);
        let drift = "1.5}\ndrift: [{day: 1, onlin: 2}]";
        let help = Some("did you mean `online`?");
        check("1.5}", drift, 7, "unknown key `onlin`", help);
    }
}
