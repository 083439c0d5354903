//! A bus whose calls fail as a plan says.

use std::collections::HashSet;

use async_trait::async_trait;

use crate::domain::offset::{Position, ShardId};
use crate::domain::vocabulary::Stream;
use crate::substrate::bus::{
    Bus, Error, PutOutcome, PutRecord, Puts, ReadBatch, ReadFrom, ReadLimit, RefusalCode, Shard,
};
use crate::substrate::fault::{Fault, FaultPlan, INJECTED, Injected, Operation};

pub struct FaultyBus<B> {
    inner: B,
    plan: FaultPlan,
}

impl<B: Bus> FaultyBus<B> {
    pub fn new(inner: B, plan: FaultPlan) -> FaultyBus<B> {
        FaultyBus { inner, plan }
    }

    /// The bus that does the work, for what a test asks it beside the trait.
    pub fn inner(&self) -> &B {
        &self.inner
    }

    /// Refuses the chosen records and later ones of their keys, and puts the rest.
    async fn put_some(
        &self,
        stream: Stream,
        records: Vec<PutRecord>,
        places: &[usize],
        code: RefusalCode,
    ) -> Vec<PutOutcome> {
        let mut refused_keys = HashSet::new();
        let mut outcomes = Vec::with_capacity(records.len());
        let mut good = Vec::new();
        for (place, record) in records.into_iter().enumerate() {
            let code = match refused_keys.contains(&record.partition_key) {
                true => Some(RefusalCode::HeldBack),
                false => places.contains(&place).then_some(code),
            };
            outcomes.push(code.map(|code| PutOutcome::Refused { code }));
            match code {
                Some(_) => drop(refused_keys.insert(record.partition_key)),
                None => good.push(record),
            }
        }
        let mut put = self.inner.put_records(stream, good).await.into_iter();
        let lost = || PutOutcome::Unknown {
            cause: INJECTED.to_owned(),
        };
        let outcome = |it: Option<PutOutcome>| it.or_else(|| put.next()).unwrap_or_else(lost);
        outcomes.into_iter().map(outcome).collect()
    }
}

fn failed(action: &'static str) -> Error {
    Error::Io {
        action,
        source: Box::new(Injected),
    }
}

/// Runs a call that has no outcome of its own but an answer or an error.
async fn call<T>(
    plan: &FaultPlan,
    (operation, action): (Operation, &'static str),
    inner: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match plan.next(operation).await {
        Fault::Fail | Fault::Refuse(_) => Err(failed(action)),
        Fault::LoseReply => {
            inner.await?;
            Err(failed(action))
        }
        Fault::Pass | Fault::RefuseSome { .. } | Fault::Delay { .. } => inner.await,
    }
}

#[async_trait]
impl<B: Bus> Bus for FaultyBus<B> {
    async fn put_records(&self, stream: Stream, records: Vec<PutRecord>) -> Vec<PutOutcome> {
        let n_records = records.len();
        let unknown = PutOutcome::Unknown {
            cause: INJECTED.to_owned(),
        };
        match self.plan.next(Operation::PutRecords).await {
            Fault::Pass | Fault::Delay { .. } => self.inner.put_records(stream, records).await,
            Fault::Refuse(code) => vec![PutOutcome::Refused { code }; n_records],
            Fault::Fail => vec![unknown; n_records],
            Fault::LoseReply => {
                drop(self.inner.put_records(stream, records).await);
                vec![unknown; n_records]
            }
            Fault::RefuseSome { places, code } => {
                self.put_some(stream, records, &places, code).await
            }
        }
    }

    async fn shards(&self, stream: Stream) -> Result<Vec<Shard>, Error> {
        let what = (Operation::Shards, "listing shards");
        call(&self.plan, what, self.inner.shards(stream)).await
    }

    async fn read(
        &self,
        stream: Stream,
        shard: &ShardId,
        from: ReadFrom,
        limit: ReadLimit,
    ) -> Result<ReadBatch, Error> {
        let what = (Operation::Read, "read");
        call(
            &self.plan,
            what,
            self.inner.read(stream, shard, from, limit),
        )
        .await
    }

    async fn tip(&self, stream: Stream, shard: &ShardId) -> Result<Position, Error> {
        let what = (Operation::Tip, "reading the tip");
        call(&self.plan, what, self.inner.tip(stream, shard)).await
    }

    fn puts(&self) -> Puts {
        self.inner.puts()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::substrate::bus::memory::MemoryBus;
    use crate::substrate::clock::SetClock;

    const STREAM: Stream = Stream::Traffic;
    const LIMIT: ReadLimit = ReadLimit {
        records_max: 100,
        bytes_max: 1_000,
        wait_max: Duration::ZERO,
    };

    fn faulty(faults: impl IntoIterator<Item = Fault>) -> FaultyBus<MemoryBus> {
        let bus = MemoryBus::new(&[(STREAM, 1)], Arc::new(SetClock::default()));
        let plan = FaultPlan::none();
        plan.script(Operation::PutRecords, faults);
        FaultyBus::new(bus, plan)
    }

    fn records(keys: &[&str]) -> Vec<PutRecord> {
        let record = |key: &&str| PutRecord {
            partition_key: (*key).to_owned(),
            data: Bytes::new(),
        };
        keys.iter().map(record).collect()
    }

    async fn stored(bus: &FaultyBus<MemoryBus>) -> Vec<String> {
        let shard = ShardId("shard-000000".to_owned());
        let from = ReadFrom::Position(Position::Start);
        let batch = bus.inner().read(STREAM, &shard, from, LIMIT).await.unwrap();
        batch
            .records
            .into_iter()
            .map(|it| it.partition_key)
            .collect()
    }

    #[tokio::test]
    async fn a_put_fails_before_or_after_it_is_applied() {
        let throttled = Fault::Refuse(RefusalCode::Throttled);
        let bus = faulty([throttled, Fault::Fail, Fault::LoseReply]);
        let put = async |key| bus.put_records(STREAM, records(&[key])).await.remove(0);
        let code = RefusalCode::Throttled;
        assert_eq!(put("a").await, PutOutcome::Refused { code });
        assert!(matches!(put("b").await, PutOutcome::Unknown { .. }));
        assert!(stored(&bus).await.is_empty());
        assert!(matches!(put("c").await, PutOutcome::Unknown { .. }));
        assert!(matches!(put("d").await, PutOutcome::Stored(_)));
        assert_eq!(stored(&bus).await, ["c", "d"]);
    }

    #[tokio::test]
    async fn a_part_of_a_put_is_refused_and_holds_back_its_keys() {
        let bus = faulty([Fault::RefuseSome {
            places: vec![1],
            code: RefusalCode::Throttled,
        }]);
        let outcomes = bus
            .put_records(STREAM, records(&["a", "b", "a", "b", "c"]))
            .await;
        let refused = |code| PutOutcome::Refused { code };
        assert_eq!(outcomes[1], refused(RefusalCode::Throttled));
        assert_eq!(outcomes[3], refused(RefusalCode::HeldBack));
        assert!(
            [0, 2, 4]
                .iter()
                .all(|at| matches!(outcomes[*at], PutOutcome::Stored(_)))
        );
        assert_eq!(stored(&bus).await, ["a", "a", "c"]);
    }

    #[tokio::test]
    async fn a_delayed_read_is_polled_again_and_may_then_be_cut() {
        let bus = faulty([]);
        let cut = Fault::Delay {
            polls: 3,
            then: Box::new(Fault::LoseReply),
        };
        bus.plan.script(Operation::Tip, [cut]);
        let shard = ShardId("shard-000000".to_owned());
        let mut tip = std::pin::pin!(bus.tip(STREAM, &shard));
        for _ in 0..3 {
            assert!(futures::poll!(tip.as_mut()).is_pending());
        }
        let error = tip.await.unwrap_err();
        assert!(
            matches!(
                error,
                Error::Io {
                    action: "reading the tip",
                    ..
                }
            ),
            "{error}"
        );
        assert_eq!(bus.tip(STREAM, &shard).await.unwrap(), Position::Start);
    }
}
