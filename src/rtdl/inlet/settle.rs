//! Which records of a batch are written, which are repeats, which conflict with what stood there
//! first (L3). Pure: it is told what the store holds.

use std::collections::HashMap;

use crate::domain::digest::Digest;
use crate::rtdl::inlet::entry::Entry;

/// The payload hash that stands under each key.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    pub(super) frames: HashMap<Digest, Digest>,
    pub(super) flows: HashMap<Digest, Digest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Write,
    Repeat,
    /// Another payload was first, under the frame or under the flow.
    Conflict {
        first: Digest,
    },
}

/// One verdict an entry, in order; an entry that is written stands before those after it.
pub(super) fn settle(entries: &[Entry], mut stored: Stored) -> Vec<Verdict> {
    let mut verdicts = Vec::with_capacity(entries.len());
    for entry in entries {
        let frame = stored.frames.get(&entry.frame_key).copied();
        let flow = entry
            .flow_key
            .and_then(|key| stored.flows.get(&key).copied());
        let other = [frame, flow]
            .into_iter()
            .flatten()
            .find(|it| *it != entry.payload_hash);
        let verdict = match (other, frame.or(flow)) {
            (Some(first), _) => Verdict::Conflict { first },
            (None, Some(_)) => Verdict::Repeat,
            (None, None) => Verdict::Write,
        };
        if verdict == Verdict::Write {
            stored.frames.insert(entry.frame_key, entry.payload_hash);
            if let Some(flow_key) = entry.flow_key {
                stored.flows.insert(flow_key, entry.payload_hash);
            }
        }
        verdicts.push(verdict);
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{ManifestFingerprint, PlatformRunId, ScenarioRunId};
    use crate::domain::keys::Pins;
    use crate::domain::offset::{OriginOffset, SequenceNumber, ShardId};
    use crate::domain::time::Time;
    use crate::domain::vocabulary::{EventClass, Stream};

    fn hash(text: &str) -> Digest {
        Digest::of_bytes(text.as_bytes())
    }

    /// `"frame flow payload"`; a flow of `-` is none.
    fn entry(text: &str) -> Entry {
        let words: Vec<&str> = text.split(' ').collect();
        Entry {
            frame_key: hash(words[0]),
            flow_key: (words[1] != "-").then(|| hash(words[1])),
            class: EventClass::FlowAnchor,
            event_id: "e".parse().unwrap(),
            payload_hash: hash(words[2]),
            payload: Vec::new(),
            origin_offset: OriginOffset {
                stream: Stream::FlowAnchor,
                shard_id: ShardId("0".to_owned()),
                sequence_number: SequenceNumber::from_u64(1),
            },
            admitted_at: Time::default(),
            pins: Pins {
                platform_run_id: PlatformRunId::from_digest(hash("run")),
                scenario_run_id: ScenarioRunId::from_digest(hash("sr")),
                manifest_fingerprint: ManifestFingerprint::from_digest(hash("world")),
                tenant_id: None,
            },
        }
    }

    #[track_caller]
    fn check(stored: &[&str], batch: &[&str], expect: &str) {
        let mut standing = Stored::default();
        for entry in stored.iter().map(|it| entry(it)) {
            standing.frames.insert(entry.frame_key, entry.payload_hash);
            standing
                .flows
                .extend(entry.flow_key.map(|key| (key, entry.payload_hash)));
        }
        let entries: Vec<Entry> = batch.iter().map(|it| entry(it)).collect();
        let verdicts = settle(&entries, standing);
        let letter = |verdict: &Verdict| match verdict {
            Verdict::Write => 'w',
            Verdict::Repeat => 'r',
            Verdict::Conflict { .. } => 'c',
        };
        assert_eq!(verdicts.iter().map(letter).collect::<String>(), expect);
    }

    #[test]
    fn the_first_payload_under_a_key_stays() {
        check(&[], &["x - a", "x - a", "x - b", "y - b"], "wrcw");
        check(&["x - b"], &["x - a", "x - b", "y - a"], "crw");
    }

    #[test]
    fn a_flow_and_its_frame_are_taken_together() {
        // A flow that moves to another frame, a second flow on one frame.
        check(&[], &["x f a", "y f b", "x g c", "y g d"], "wccw");
        // A refused anchor leaves both of its keys free.
        check(&["x f a"], &["y f b", "y g c"], "cw");
    }
}
