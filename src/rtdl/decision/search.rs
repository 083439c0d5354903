//! What a batch of decisions may be found by: one row, in the transaction that appends them.

use std::collections::BTreeSet;

use crate::domain::ids::PlatformRunId;
use crate::rtdl::decision::batch::Decided;
use crate::runtime::decisions::{degraded_key, key_filter, outcome_key};
use crate::substrate::db::{self, Day, Transaction};

const APPEND: &str = include_str!("sql/append_search.sql");

pub(super) async fn append(
    tx: &Transaction<'_>,
    run: &PlatformRunId,
    decided: &[Decided],
) -> Result<(), db::Error> {
    let (Some(first), Some(last)) = (decided.first(), decided.last()) else {
        return Ok(());
    };
    let times = || decided.iter().map(|it| it.ts_utc);
    let (from, to) = (times().min(), times().max());
    let statement = tx.prepare_cached(APPEND).await?;
    tx.execute(
        &statement,
        &[
            run,
            &last.chain.seq,
            &(first.chain.seq - 1),
            &Day::of(last.decided_at),
            &from,
            &to,
            &filter(decided),
        ],
    )
    .await?;
    Ok(())
}

fn filter(decided: &[Decided]) -> Vec<u8> {
    let mut keys: BTreeSet<i64> = BTreeSet::new();
    for row in decided {
        keys.extend(&row.keys);
        keys.insert(outcome_key(row.outcome));
        keys.insert(degraded_key(!row.degraded.is_empty()));
    }
    key_filter(&keys)
}
