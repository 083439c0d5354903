//! A log that its owner rewrites, every hash made anew, does not fit the anchors in the object store.

use fraudplat::contracts::canonical;
use fraudplat::contracts::chain_anchor::ChainAnchor;
use fraudplat::contracts::decision::{ChainLink, DecisionBody, record_hash};
use fraudplat::domain::vocabulary::Outcome;
use fraudplat::rtdl::audit::{self, ChainReport};
use fraudplat::runtime::decisions::StoredDecision;

use crate::decider::{FEATURES, Run};

async fn verify(run: &Run) -> Result<ChainReport, audit::Error> {
    audit::verify(&run.world.ground, &run.id(), &|_| ()).await
}

/// The first record that may differ, and the one that was met.
async fn broken(run: &Run) -> (i64, i64) {
    let report = verify(run).await.unwrap();
    let broken = report.broken.expect("it is broken");
    assert!(broken.why.contains("rewritten"), "{}", broken.why);
    (broken.not_before, broken.seq)
}

/// Approves a decision as a superuser would who wants nobody to see: the chain is made anew from there on.
async fn rewrite(run: &Run, seq: i64) {
    let all = audit::list(&run.world.ground, &run.id(), 0, 1_000)
        .await
        .unwrap();
    let before = all.iter().find(|it| it.seq == seq - 1).map(|it| ChainLink {
        seq: it.seq,
        link: it.link,
    });
    let mut link = before.unwrap_or(ChainLink::genesis(&run.id()));
    for stored in all.into_iter().filter(|it| seq <= it.seq) {
        let body = match stored.seq == seq {
            true => approved(&stored),
            false => stored.body.clone(),
        };
        let read: DecisionBody = canonical::from_bytes("body", &body).unwrap();
        let body_hash = record_hash(&body);
        link = link.next(&body_hash, &stored.evidence_hash);
        let client = run.unguarded().await;
        let sql = "UPDATE dla.decision SET body = $3, body_hash = $4, link = $5, outcome = $6
                   WHERE platform_run_id = $1 AND seq = $2";
        let values: [&(dyn fraudplat::substrate::db::ToSql + Sync); 6] = [
            &run.id(),
            &stored.seq,
            &body,
            &body_hash,
            &link.link,
            &read.outcome.as_str(),
        ];
        assert_eq!(client.execute(sql, &values).await.unwrap(), 1);
    }
}

fn approved(stored: &StoredDecision) -> Vec<u8> {
    let (body, _) = stored.open().unwrap();
    let body = DecisionBody {
        outcome: match body.outcome {
            Outcome::Approve => Outcome::Decline,
            _ => Outcome::Approve,
        },
        ..body
    };
    canonical::to_bytes(&body).unwrap()
}

/// No hash covers what stands beside a record; the record says it too.
#[tokio::test]
async fn an_altered_column_is_named_with_its_record() {
    let mut run = Run::open().await;
    run.pay(30).await;
    run.decide(FEATURES).await;
    assert_eq!(verify(&run).await.unwrap().broken, None);
    let owner = run.unguarded().await;
    let columns = [
        ("event_id", "event_id || 'x'"),
        ("ts_utc", "ts_utc + interval '1 microsecond'"),
        ("outcome", "'DECLINE'"),
        ("degraded", "NOT degraded"),
        ("decided_at", "decided_at - interval '1 second'"),
        // One of a rule that did not fire, none of its rules, and none at all.
        ("keys", "array_prepend(-9223372036854775808, keys) || keys"),
        ("keys", "'{}'"),
        ("keys", "NULL"),
    ];
    for (column, other) in columns {
        // Record 20 is one that a rule fired on.
        let sql = format!("UPDATE dla.decision SET {column} = {other} WHERE seq = 20");
        let kept = "CREATE TEMP TABLE kept AS SELECT * FROM dla.decision WHERE seq = 20";
        owner.batch_execute(kept).await.unwrap();
        assert_eq!(owner.execute(&sql, &[]).await.unwrap(), 1);
        let report = verify(&run).await.unwrap();
        let broken = report
            .broken
            .unwrap_or_else(|| panic!("{column} = {other}"));
        assert_eq!(
            (broken.seq, broken.not_before, report.verified),
            (20, 20, 19)
        );
        assert!(broken.why.contains(column), "{column}: {}", broken.why);
        let back = format!(
            "UPDATE dla.decision SET {column} = kept.{column} FROM kept WHERE decision.seq = 20;
             DROP TABLE kept"
        );
        owner.batch_execute(&back).await.unwrap();
        assert_eq!(verify(&run).await.unwrap().broken, None);
    }
}

#[tokio::test]
async fn a_rewritten_log_is_told_from_the_one_that_was_anchored() {
    let mut run = Run::open().await;
    for n in [60, 70] {
        run.pay(n).await;
        run.decide(FEATURES).await;
    }
    let whole = verify(&run).await.unwrap();
    assert_eq!((whole.verified, whole.broken), (130, None));
    assert_eq!(
        (whole.anchors, whole.anchored),
        (2, 130),
        "one a clean drain"
    );

    // The chain fits itself again, and only the anchors know.
    rewrite(&run, 77).await;
    assert_eq!(broken(&run).await, (77, 77));
    rewrite(&run, 60).await;
    assert_eq!(broken(&run).await, (60, 60));
    rewrite(&run, 1).await;
    assert_eq!(broken(&run).await, (1, 1));
}

#[tokio::test]
async fn a_gap_between_anchors_is_proven_by_the_next() {
    let mut run = Run::open().await;
    for _ in 0..3 {
        run.pay(20).await;
        run.decide(FEATURES).await;
    }
    // As if the process had been killed before the second was written.
    let dir = run.file(&ChainAnchor::prefix(&run.id()));
    std::fs::remove_file(dir.join("000000000040.json")).unwrap();
    let whole = verify(&run).await.unwrap();
    assert_eq!((whole.anchors, whole.anchored, whole.broken), (2, 60, None));
    rewrite(&run, 30).await;
    assert_eq!(broken(&run).await, (21, 41));
}

#[tokio::test]
async fn a_log_that_lost_its_end_and_a_forged_anchor_are_named() {
    let mut run = Run::open().await;
    run.pay(30).await;
    run.decide(FEATURES).await;
    let file = run
        .file(&ChainAnchor::prefix(&run.id()))
        .join("000000000030.json");
    let anchor = std::fs::read_to_string(&file).unwrap();
    for forged in [
        anchor.replace("\"seq\":30", "\"seq\":29"),
        anchor.replace("\"after_seq\":0", "\"after_seq\":1"),
        anchor.replace("\"links\":\"", "\"links\":\"0"),
        anchor.replacen('{', "[", 1),
    ] {
        assert_ne!(forged, anchor);
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, forged).unwrap();
        let refused = verify(&run).await.unwrap_err();
        assert_eq!(refused.code().as_str(), "CHAIN_BROKEN", "{refused}");
    }
    std::fs::write(&file, anchor).unwrap();
    let client = run.unguarded().await;
    let cut = "DELETE FROM dla.decision WHERE 28 < seq";
    client.batch_execute(cut).await.unwrap();
    let refused = verify(&run).await.unwrap_err();
    assert!(
        refused.to_string().contains("the log ends before it"),
        "{refused}"
    );
}
