//! A sample of a decision segment. Whatever release reads it finds the same records; what this release writes may be
//! other bytes, as long as the same records are read back.

use std::fs;

use fraudplat::contracts::decision::{ChainLink, record_hash};
use fraudplat::domain::digest::Digest;
use fraudplat::domain::ids::{DecisionId, PlatformRunId};
use fraudplat::domain::time::Time;
use fraudplat::runtime::decisions::{self, Row, Segment, StoredDecision};
use fraudplat::substrate::db::Day;
use fraudplat::substrate::objects::Objects;
use fraudplat::substrate::objects::memory::MemoryObjects;

use super::{folder, unhex};

/// The folders of samples that are tested here.
pub(crate) const FORMS: [&str; 1] = ["decision_segment"];

/// The samples of body and evidence, as records 17 and 18 of a chain.
fn rows() -> Vec<Row> {
    let run = PlatformRunId::from_digest(Digest::of_bytes(b"run"));
    let mut link = ChainLink {
        seq: 16,
        link: Digest::of_bytes(b"before"),
    };
    let row = |version: &str| {
        let sample = |form: &str| {
            let file = folder().join(form).join(format!("{version}.cbor.hex"));
            unhex(fs::read_to_string(file).unwrap().trim())
        };
        let (body, evidence) = (sample("decision_body"), sample("decision_evidence"));
        let (body_hash, evidence_hash) = (record_hash(&body), record_hash(&evidence));
        link = link.next(&body_hash, &evidence_hash);
        Row {
            decision: StoredDecision {
                run,
                seq: link.seq,
                decision_id: DecisionId::from_digest(Digest::of_bytes(version.as_bytes())),
                body,
                evidence,
                body_hash,
                evidence_hash,
                link: link.link,
            },
            event_id: format!("till:{}", link.seq),
            ts_utc: Time::from_micros(1_700_000_000_000_000 + link.seq),
            outcome: "REVIEW".to_owned(),
            degraded: link.seq == 18,
            decided_at: Time::from_micros(1_700_000_000_500_000 + link.seq),
            keys: (link.seq == 17).then(|| vec![-17, 17]),
        }
    };
    ["v1", "v1_least"].into_iter().map(row).collect()
}

async fn read(content: Vec<u8>, rows: &[Row]) -> Vec<StoredDecision> {
    let (objects, hash) = (MemoryObjects::new(), Digest::of_bytes(&content));
    let (first, last) = (&rows[0].decision, &rows[rows.len() - 1].decision);
    let key = decisions::segment_key(&first.run, (first.seq, last.seq), &hash).unwrap();
    objects.put_new(&key, content.into()).await.unwrap();
    let segment = Segment {
        run: first.run,
        day: Day(0),
        first: first.seq,
        last: last.seq,
        last_link: last.link,
        key,
        content_hash: hash,
        id_filter: decisions::id_filter(rows.iter().map(|it| &it.decision.decision_id)),
    };
    segment.read(&objects).await.unwrap()
}

#[tokio::test]
async fn a_segment_is_read_for_ever() {
    let rows = rows();
    let stored: Vec<_> = rows.iter().map(|it| it.decision.clone()).collect();
    let sample = fs::read(folder().join("decision_segment/v1.parquet")).unwrap();
    assert_eq!(read(sample, &rows).await, stored);
    let written = decisions::encode(&rows).unwrap();
    assert_eq!(read(written.to_vec(), &rows).await, stored);
}

#[test]
fn a_filter_is_asked_the_same_way_for_ever() {
    // Manifest rows keep theirs, so its bits may not move.
    let ids: Vec<_> = rows().iter().map(|it| it.decision.decision_id).collect();
    assert_eq!(super::hex(&decisions::id_filter(ids.iter())), "a86f1848");
}
