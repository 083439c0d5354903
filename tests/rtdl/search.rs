//! Decisions are found by entity, rule, outcome, event and time, page by page, as a look at every one finds them.

use fraudplat::contracts::decision::RuleResult;
use fraudplat::domain::vocabulary::Outcome;
use fraudplat::rtdl::audit::{self, wanted};
use fraudplat::runtime::decisions::{self, Wanted};

use crate::decider::{FEATURES, Run};

/// The places of all that is wanted, by pages of so many.
async fn found(run: &Run, asked: &[(&str, &str)], limit: usize) -> Vec<i64> {
    let mut asked: Wanted = wanted(asked.iter().copied()).unwrap();
    asked.limit = limit;
    let mut seqs = Vec::new();
    loop {
        let page = decisions::search(&run.world.ground, &run.id(), &asked).await;
        let page = page.unwrap();
        assert!(page.decisions.len() <= limit);
        seqs.extend(page.decisions.iter().map(|(it, _)| it.seq));
        match page.next {
            Some(next) => {
                assert!(asked.after < next, "a page goes on");
                asked.after = next;
            }
            None => return seqs,
        }
    }
}

#[tokio::test]
async fn what_is_found_is_what_a_look_at_every_one_finds() {
    let mut run = Run::open().await;
    run.pay(130).await;
    run.decide(FEATURES).await;
    let all = audit::list(&run.world.ground, &run.id(), 0, 1_000)
        .await
        .unwrap();
    let bodies: Vec<_> = all
        .iter()
        .map(|it| (it.seq, it.open().unwrap().0))
        .collect();
    let every: Vec<i64> = all.iter().map(|it| it.seq).collect();
    let reviewed = bodies
        .iter()
        .filter(|(_, it)| it.outcome == Outcome::Review);
    let reviewed: Vec<i64> = reviewed.map(|(seq, _)| *seq).collect();
    assert!(!reviewed.is_empty() && reviewed.len() < every.len());
    let fired = bodies
        .iter()
        .filter(|(_, it)| it.trace[0].result == RuleResult::Fired);
    assert!(fired.map(|(seq, _)| *seq).eq(reviewed.iter().copied()));

    for limit in [1, 7, 1_000] {
        assert_eq!(found(&run, &[], limit).await, every);
        assert_eq!(found(&run, &[("rule", "R1")], limit).await, reviewed);
        assert_eq!(found(&run, &[("outcome", "REVIEW")], limit).await, reviewed);
        assert_eq!(
            found(&run, &[("entity", "customer_id:c")], limit).await,
            every
        );
    }
    let both = [
        ("entity", "merchant_id:m"),
        ("rule", "R1"),
        // The entities of this world contradict its traffic.
        ("degraded", "true"),
    ];
    assert_eq!(found(&run, &both, 1_000).await, reviewed);
    for none in [
        ("entity", "customer_id:m"),
        ("rule", "R2"),
        ("outcome", "DECLINE"),
        ("degraded", "false"),
        ("from", "2100-01-01"),
        ("to", "2000-01-01"),
        ("event_id", "e131"),
    ] {
        assert_eq!(found(&run, &[none], 10).await, [0; 0], "{none:?}");
    }
    let (seq, body) = &bodies[99];
    let event = [
        ("event_id", body.event_id.as_str()),
        ("entity", "customer_id:c"),
    ];
    assert_eq!(found(&run, &event, 10).await, [*seq]);
    let other = [
        ("event_id", body.event_id.as_str()),
        ("entity", "customer_id:d"),
    ];
    assert_eq!(found(&run, &other, 10).await, [0; 0]);
    let from = body.ts_utc.to_string();
    let later = bodies.iter().filter(|(_, it)| body.ts_utc <= it.ts_utc);
    let later: Vec<i64> = later.map(|(seq, _)| *seq).collect();
    assert_eq!(found(&run, &[("from", &from)], 9).await, later);

    // Rows of earlier releases: no keys, and a filter that excludes nothing.
    let client = run.unguarded().await;
    let aged = "UPDATE dla.decision SET keys = NULL;
                UPDATE runtime.decision_search
                SET key_filter = '\\xff', first_ts = '-infinity', last_ts = 'infinity'";
    client.batch_execute(aged).await.unwrap();
    assert_eq!(found(&run, &[("rule", "R1")], 7).await, reviewed);
    assert_eq!(found(&run, &[("from", &from)], 9).await, later);
    assert_eq!(found(&run, &[("entity", "customer_id:c")], 7).await, [0; 0]);
    assert_eq!(found(&run, &event, 10).await, [0; 0]);
}
