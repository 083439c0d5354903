//! What a decision is found by beside its id: the entities of its event and the rules that fired, as hashes; and the
//! Bloom filter of a batch of them. An index, never evidence: what it leads to is verified as always.

use std::collections::BTreeSet;

use crate::contracts::decision::{DecisionBody, RuleResult};
use crate::contracts::feature_set::Entity;
use crate::domain::digest::Tagged;
use crate::domain::vocabulary::Outcome;

/// With twelve bits a key and four of them set, one batch in 150 is opened in vain.
const BITS_PER_KEY: usize = 12;
const WORDS: u64 = 4;

/// Every kind of entity, with its name in events and queries.
pub const ENTITIES: [(Entity, &str); 8] = [
    (Entity::CustomerId, "customer_id"),
    (Entity::AccountId, "account_id"),
    (Entity::CardId, "card_id"),
    (Entity::DeviceId, "device_id"),
    (Entity::Ip, "ip"),
    (Entity::MerchantId, "merchant_id"),
    (Entity::TerminalId, "terminal_id"),
    (Entity::BeneficiaryId, "beneficiary_id"),
];

/// The hash of one thing that a decision is found by.
fn key(kind: &str, value: &str) -> i64 {
    let digest = Tagged::new("decision_key").text(kind).text(value).digest();
    let mut word = [0; 8];
    word.copy_from_slice(&digest.as_bytes()[..8]);
    i64::from_le_bytes(word)
}

#[must_use]
pub fn entity_key(kind: &str, value: &str) -> i64 {
    key(kind, value)
}

#[must_use]
pub fn rule_key(rule_id: &str) -> i64 {
    key("rule", rule_id)
}

#[must_use]
pub fn outcome_key(outcome: Outcome) -> i64 {
    key("outcome", outcome.as_str())
}

#[must_use]
pub fn degraded_key(is_degraded: bool) -> i64 {
    key("degraded", if is_degraded { "true" } else { "false" })
}

/// The keys that stand beside a decision, of what its event says of each entity: sorted, each once.
#[must_use]
pub fn keys_of<'e>(entity_of: impl Fn(Entity) -> Option<&'e str>, body: &DecisionBody) -> Vec<i64> {
    let entities = ENTITIES.iter().filter_map(|(entity, name)| {
        let value = entity_of(*entity)?;
        Some(entity_key(name, value))
    });
    let keys: BTreeSet<i64> = entities.chain(rule_keys(body)).collect();
    keys.into_iter().collect()
}

/// Those of the rules that fired.
pub(super) fn rule_keys(body: &DecisionBody) -> BTreeSet<i64> {
    let fired = body.trace.iter();
    let fired = fired.filter(|it| it.result == RuleResult::Fired);
    fired.map(|it| rule_key(&it.rule_id)).collect()
}

/// A filter of keys. Bit `n` is bit `n % 8`, from the lowest, of byte `n / 8`, as `get_bit` of the database counts.
#[must_use]
pub fn key_filter(keys: &BTreeSet<i64>) -> Vec<u8> {
    let n_bytes = (keys.len() * BITS_PER_KEY).div_ceil(8).max(1);
    let n_bits = i64::try_from(8 * n_bytes).expect("a batch is bounded");
    let mut filter = vec![0u8; n_bytes];
    for word in keys.iter().flat_map(|it| key_words(*it)) {
        let bit = usize::try_from(word % n_bits).expect("it is below the filter's length");
        filter[bit / 8] |= 1 << (bit % 8);
    }
    filter
}

/// What a filter is asked for a key: two halves of a hash make as many as are wanted.
pub(super) fn key_words(key: i64) -> impl Iterator<Item = i64> {
    let bits = key.cast_unsigned();
    let (low, high) = (bits & 0xffff_ffff, bits >> 32);
    (0..WORDS).map(move |n| ((low + n * high) & 0xffff_ffff).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `search_batches.sql` asks.
    fn may_hold(filter: &[u8], key: i64) -> bool {
        key_words(key).all(|word| {
            let bit = usize::try_from(word).unwrap() % (8 * filter.len());
            filter[bit / 8] >> (bit % 8) & 1 == 1
        })
    }

    #[test]
    fn a_filter_knows_its_own_and_hardly_another() {
        let customer = |n: u32| entity_key("customer_id", &format!("c{n}"));
        let mine: BTreeSet<i64> = (0..2_000).map(customer).collect();
        let filter = key_filter(&mine);
        assert_eq!(filter.len(), 3_000);
        assert!(mine.iter().all(|it| may_hold(&filter, *it)));
        let in_vain = (1_000_000..1_100_000).filter(|n| may_hold(&filter, customer(*n)));
        let n = in_vain.count();
        assert!((300..1_500).contains(&n), "{n} of 100,000");
    }

    #[test]
    fn kinds_are_told_apart() {
        assert_ne!(
            entity_key("customer_id", "x"),
            entity_key("merchant_id", "x")
        );
        assert_ne!(rule_key("x"), entity_key("customer_id", "x"));
    }

    #[test]
    fn every_entity_has_the_name_it_has_in_a_feature_set() {
        for (entity, name) in ENTITIES {
            assert_eq!(serde_json::to_value(entity).unwrap(), name);
        }
    }
}
