//! What a world knows of its payments, in 32 bytes each: amount, currency, whether it was fraud, of
//! which campaign.

use std::collections::HashMap;

use crate::app::report::collect::PAGE;
use crate::contracts::ready::WorldFacts;
use crate::domain::ids::EventId;
use crate::ingress::world::{WorldReader, read_truth};
use crate::runtime::ground::Ground;

/// One payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) amount_minor: i64,
    /// Into [`World::currencies`].
    currency: u8,
    pub(super) is_fraud: bool,
    /// Into [`World::campaigns`].
    pub(super) campaign: u16,
}

/// The payments of a world by their event ids. Empty for a live run.
#[derive(Debug, Default)]
pub(super) struct World {
    /// Half of the id's hash: 128 bits do not meet by chance.
    payments: HashMap<u128, Known>,
    currencies: Names,
    pub(super) campaigns: Names,
    /// The currency of most payments.
    main: u8,
}

/// Names by number. The first is empty: no campaign.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: Vec<String>,
    numbers: HashMap<String, u16>,
}

impl Names {
    fn number(&mut self, name: &str) -> u16 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        // More names than numbers share the last: a report has no room for as many.
        let number = u16::try_from(self.names.len()).unwrap_or(u16::MAX);
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    pub(super) fn name(&self, number: u16) -> &str {
        self.names.get(usize::from(number)).map_or("", |name| name)
    }
}

impl World {
    /// Reads arrivals and truth of a pinned world.
    ///
    /// # Errors
    /// Those of the objects: absent, or not the pinned ones.
    pub(super) async fn read(ground: &Ground, facts: &WorldFacts) -> anyhow::Result<World> {
        let mut world = World::default();
        let mut reader = WorldReader::open(ground.objects.clone(), facts.clone(), 0);
        loop {
            let arrivals = reader.next(PAGE.unsigned_abs() as usize).await?;
            if arrivals.is_empty() {
                break;
            }
            for arrival in arrivals {
                if let Some(payment) = arrival.payment {
                    world.pay(&arrival.event_id, payment.amount_minor, &payment.currency);
                }
            }
        }
        for truth in read_truth(ground.objects.as_ref(), facts).await? {
            if truth.is_fraud {
                world.defraud(&truth.event_id, &truth.scenario);
            }
        }
        world.settle();
        Ok(world)
    }

    pub(super) fn pay(&mut self, event_id: &EventId, amount_minor: i64, currency: &str) {
        let currency = u8::try_from(self.currencies.number(currency)).unwrap_or(u8::MAX);
        let campaign = self.campaigns.number("");
        let known = Known {
            amount_minor,
            currency,
            is_fraud: false,
            campaign,
        };
        self.payments.insert(key(event_id.as_str()), known);
    }

    pub(super) fn defraud(&mut self, event_id: &EventId, campaign: &str) {
        let campaign = self.campaigns.number(campaign);
        if let Some(known) = self.payments.get_mut(&key(event_id.as_str())) {
            known.is_fraud = true;
            known.campaign = campaign;
        }
    }

    /// Once all payments are in: finds the currency of most of them, and takes the amounts of the
    /// others out, for amounts of two currencies have no sum.
    pub(super) fn settle(&mut self) {
        let mut counts: HashMap<u8, usize> = HashMap::new();
        for known in self.payments.values() {
            *counts.entry(known.currency).or_default() += 1;
        }
        // The smaller number where two are equal, so that the same world gives the same report.
        let most = counts
            .into_iter()
            .max_by_key(|it| (it.1, std::cmp::Reverse(it.0)));
        self.main = most.map_or(0, |it| it.0);
        let main = self.main;
        for known in self.payments.values_mut().filter(|it| it.currency != main) {
            known.amount_minor = 0;
        }
    }

    pub(super) fn get(&self, event_id: &EventId) -> Option<Known> {
        self.payments.get(&key(event_id.as_str())).copied()
    }

    pub(super) fn currency(&self) -> &str {
        self.currencies.name(u16::from(self.main))
    }

    /// Payments in other currencies than that of most.
    pub(super) fn foreign(&self) -> i64 {
        let others = self.payments.values().filter(|it| it.currency != self.main);
        i64::try_from(others.count()).unwrap_or(i64::MAX)
    }
}

fn key(event_id: &str) -> u128 {
    let mut half = [0; 16];
    half.copy_from_slice(&blake3::hash(event_id.as_bytes()).as_bytes()[..16]);
    u128::from_le_bytes(half)
}
