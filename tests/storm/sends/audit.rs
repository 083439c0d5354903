//! What must hold once everything is sent: asked of the executable, by its own commands.

use std::collections::BTreeSet;

use fraudplat::contracts::reconciliation::Reconciliation;
use fraudplat::contracts::verdict::Verdict;
use fraudplat::domain::digest::Digest;
use fraudplat::domain::vocabulary::{EventClass, IngestResult};
use serde_json::Value;

use crate::checks::check;
use crate::events::Port;
use crate::home::{DONE, Finished, LONG, until};
use crate::sends::plan::{CLASSES, Plan, Send};
use crate::sends::told::{Heard, fingerprint};
use crate::weather::Weather;

/// Replayed at most.
const REPLAYED: u64 = 500;

/// A refused payload of an event.
type Refused = BTreeSet<(u64, Digest)>;

pub(crate) struct Audit<'a> {
    pub(crate) weather: &'a Weather,
    pub(crate) plan: &'a Plan,
    pub(crate) run: &'a str,
    pub(crate) port: &'a Port,
    /// Runs a command line of the executable to its end.
    pub(crate) command: &'a dyn Fn(&[&str]) -> Finished,
}

/// What was found, to be printed.
pub(crate) struct Found {
    pub(crate) n_refusals: usize,
    pub(crate) n_mismatches: usize,
    /// Puts of batches that the bus did not answer for.
    pub(crate) n_ambiguous: usize,
    pub(crate) n_received: i64,
    /// Second copies on the bus.
    pub(crate) n_bus_repeats: i64,
}

impl Audit<'_> {
    pub(crate) fn run(&self, heard: &[Heard]) -> Found {
        self.until_decided();
        until("an end of all ambiguity", LONG, || {
            let open = self.json(&["ig", "ambiguous", "list"]);
            open.as_array().unwrap().is_empty().then_some(())
        });
        self.weather
            .say("every payment is decided, nothing is ambiguous");
        let planted = self.admitted(heard);
        let (refused, n_refusals) = self.refused();
        let unlike: Vec<_> = refused.symmetric_difference(&planted).take(10).collect();
        check(
            "mismatches equal the planted",
            unlike.is_empty(),
            format!("{unlike:?}"),
        );
        let n_facts = self.facts(&["--run", self.run, "--type", "PAYLOAD_HASH_MISMATCH"]);
        let n_planted = usize::try_from(self.plan.n_planted()).unwrap();
        check(
            "a fact tells of each",
            n_facts == n_planted,
            format!("{n_facts} of {n_planted}"),
        );
        let found = Found {
            n_refusals,
            n_mismatches: refused.len(),
            n_ambiguous: self.facts(&["--type", "PUBLISH_AMBIGUOUS"]),
            n_received: 0,
            n_bus_repeats: 0,
        };
        self.weather.say("receipts and refusals are as planned");
        let found = self.balance(found);
        self.weather.say("everything balances");
        self.decided();
        found
    }

    /// Waits for the last decision; a process whose wires were just cut may be away for a moment.
    fn until_decided(&self) {
        let path = format!("/v1/runs/{}/progress", self.run);
        until("decisions", LONG, || {
            let answer = self.port.try_get(&path)?;
            let is_known = [200, 503].contains(&answer.status);
            check(
                "who has no database says so",
                is_known,
                format!("{answer:?}"),
            );
            let decided = answer.body["decisions_count"].as_u64();
            (decided? >= self.plan.n_payments).then_some(())
        });
    }

    fn json(&self, args: &[&str]) -> Value {
        (self.command)(args).expect(DONE).json()
    }

    /// Every event has one receipt, that which producers were told; returns the payloads that must
    /// have been refused: of each planted event the one that was not the first.
    fn admitted(&self, heard: &[Heard]) -> Refused {
        let mut seen = vec![false; heard.len()];
        let mut others = Refused::new();
        self.each("receipts", |row| {
            let verdict: Verdict = serde_json::from_value(row).unwrap();
            let receipt = verdict.receipt.as_ref();
            let is_admitted = verdict.result == IngestResult::Admitted;
            check(
                "every receipt is final",
                is_admitted,
                format!("{verdict:?}"),
            );
            let receipt = receipt.unwrap();
            let event = self
                .plan
                .find(receipt.event_class.as_str(), receipt.event_id.as_str());
            check(
                "nothing is admitted that was not sent",
                event.is_some(),
                format!("{receipt:?}"),
            );
            let event = event.unwrap();
            let at = usize::try_from(event).unwrap();
            let is_first = !std::mem::replace(&mut seen[at], true);
            check(
                "every event is admitted once",
                is_first,
                format!("{receipt:?}"),
            );
            let hashes = [false, true].map(|is_other| {
                let is_sent = !is_other || self.plan.is_planted(event);
                is_sent.then(|| self.plan.payload_hash(Send { event, is_other }))
            });
            let first = hashes
                .iter()
                .position(|it| *it == Some(receipt.payload_hash));
            check(
                "a receipt is of what was sent",
                first.is_some(),
                format!("{receipt:?}"),
            );
            let first = first.unwrap();
            if let Some(hash) = hashes[1 - first] {
                others.insert((event, hash));
            }
            let mut expect = Heard {
                n_new: heard[at].n_new.min(1),
                receipt: Some(fingerprint(receipt)),
                ..Heard::default()
            };
            expect.taken[first] = true;
            expect.refused[1 - first] = self.plan.is_planted(event);
            let detail = format!("{receipt:?}: {:?}", heard[at]);
            check(
                "every reply is backed by the receipt",
                heard[at] == expect,
                detail,
            );
        });
        let n_missing = seen.iter().filter(|it| !**it).count();
        check("every event is admitted", n_missing == 0, n_missing);
        others
    }

    /// Every item of a list, a page at a time.
    fn each(&self, list: &str, mut look: impl FnMut(Value)) {
        let mut after = String::new();
        loop {
            let path = format!("/v1/{list}/{}?limit=1000{after}", self.run);
            let page = self.port.get(&path).body;
            let results = page["results"].as_array();
            let results = results.unwrap_or_else(|| panic!("{path}: {page}"));
            results.iter().cloned().for_each(&mut look);
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return,
            }
        }
    }

    /// What is in quarantine, and in how many rows: a refused payload may come again.
    fn refused(&self) -> (Refused, usize) {
        let (mut refused, mut n_rows) = (Refused::new(), 0);
        self.each("quarantine", |row| {
            let word = |name: &str| row[name].as_str().unwrap();
            let is_mismatch = word("code") == "PAYLOAD_HASH_MISMATCH";
            check("nothing else is refused", is_mismatch, &row);
            let event = self.plan.find(word("event_class"), word("event_id"));
            refused.insert((event.unwrap(), word("payload_hash").parse().unwrap()));
            n_rows += 1;
        });
        (refused, n_rows)
    }

    fn facts(&self, of: &[&str]) -> usize {
        let list = [&["gov", "facts", "--limit", "1000000"], of].concat();
        self.json(&list).as_array().unwrap().len()
    }

    /// What receipts and archive still owe comes after a while; then everything balances.
    fn balance(&self, found: Found) -> Found {
        let args = ["reconcile", "run", "--run", self.run];
        let begun = std::time::Instant::now();
        let balanced = until("reconciliation", LONG, || {
            let found = (self.command)(&args).json();
            let is_last = found["balanced"] == true || begun.elapsed() > LONG / 2;
            is_last.then_some(found)
        });
        let is_balanced = balanced["balanced"] == true;
        check("reconciliation balances", is_balanced, &balanced);
        let balanced: Reconciliation = serde_json::from_value(balanced).unwrap();
        let left = |name: &str| {
            let of_name = balanced.checks.iter().find(|it| it.name == name);
            of_name.unwrap_or_else(|| panic!("no check {name}")).left
        };
        let of_classes = |name: fn(EventClass) -> String| -> i64 {
            CLASSES.iter().map(|it| left(&name(*it))).sum()
        };
        let n_on_bus = of_classes(|it| format!("bus_{it}_events_equal_admitted"));
        let is_whole = n_on_bus == self.plan.n_events().cast_signed();
        check("the bus has every event", is_whole, n_on_bus);
        let n_received = left("ig_received_is_settled");
        let is_enough = n_received >= self.plan.n_sends.cast_signed();
        check("every send was received", is_enough, n_received);
        Found {
            n_received,
            n_bus_repeats: of_classes(|it| format!("bus_{it}_repeats_noted")),
            ..found
        }
    }

    fn decided(&self) {
        let payments = self.plan.n_payments;
        let chain = self.json(&["dla", "verify", "--run", self.run]);
        let is_whole = chain["verified"] == payments && chain["broken"].is_null();
        check(
            "every payment has one decision, the chain is whole",
            is_whole,
            &chain,
        );
        let sample = payments.min(REPLAYED);
        let words = sample.to_string();
        let args = ["replay", "decision", "--run", self.run, "--sample", &words];
        let replayed = self.json(&args);
        let is_equal = replayed["compared"] == sample && replayed["mismatched"] == 0;
        check("replay finds no difference", is_equal, &replayed);
    }
}
