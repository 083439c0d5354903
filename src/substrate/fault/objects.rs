//! An object store whose calls fail as a plan says. A refusal is an error here: the store has no
//! outcome for it.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::substrate::fault::{Fault, FaultPlan, Injected, Operation};
use crate::substrate::objects::{Error, Listed, ObjectKey, Objects, Put};

pub struct FaultyObjects<O> {
    inner: O,
    plan: FaultPlan,
}

impl<O: Objects> FaultyObjects<O> {
    pub fn new(inner: O, plan: FaultPlan) -> FaultyObjects<O> {
        FaultyObjects { inner, plan }
    }

    /// The store that does the work, for what a test asks it beside the trait.
    pub fn inner(&self) -> &O {
        &self.inner
    }
}

async fn call<T>(
    plan: &FaultPlan,
    (operation, action): (Operation, &'static str),
    key: &str,
    inner: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let failed = || Error::Io {
        action,
        key: key.to_owned(),
        source: Box::new(Injected),
    };
    match plan.next(operation).await {
        Fault::Fail | Fault::Refuse(_) => Err(failed()),
        Fault::LoseReply => {
            inner.await?;
            Err(failed())
        }
        Fault::Pass | Fault::RefuseSome { .. } | Fault::Delay { .. } => inner.await,
    }
}

#[async_trait]
impl<O: Objects> Objects for FaultyObjects<O> {
    async fn put_new(&self, key: &ObjectKey, body: Bytes) -> Result<Put, Error> {
        let what = (Operation::PutNew, "the write");
        call(
            &self.plan,
            what,
            key.as_str(),
            self.inner.put_new(key, body),
        )
        .await
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Bytes>, Error> {
        let what = (Operation::Get, "the read");
        call(&self.plan, what, key.as_str(), self.inner.get(key)).await
    }

    async fn get_range(
        &self,
        key: &ObjectKey,
        start: u64,
        end: u64,
    ) -> Result<Option<Bytes>, Error> {
        let what = (Operation::GetRange, "the read");
        call(
            &self.plan,
            what,
            key.as_str(),
            self.inner.get_range(key, start, end),
        )
        .await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        let what = (Operation::List, "the listing");
        call(
            &self.plan,
            what,
            prefix,
            self.inner.list(prefix, after, limit),
        )
        .await
    }

    async fn remove(&self, key: &ObjectKey) -> Result<(), Error> {
        let what = (Operation::Remove, "the removal");
        call(&self.plan, what, key.as_str(), self.inner.remove(key)).await
    }

    async fn presign(&self, key: &ObjectKey, expires_in: Duration) -> Result<String, Error> {
        let what = (Operation::Presign, "the link");
        call(
            &self.plan,
            what,
            key.as_str(),
            self.inner.presign(key, expires_in),
        )
        .await
    }

    fn puts(&self) -> u64 {
        self.inner.puts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::substrate::objects::memory::MemoryObjects;

    #[tokio::test]
    async fn a_write_fails_before_or_after_it_is_applied() {
        let plan = FaultPlan::none();
        plan.script(Operation::PutNew, [Fault::Fail, Fault::LoseReply]);
        let store = FaultyObjects::new(MemoryObjects::new(), plan);
        let key: ObjectKey = "a/b".parse().unwrap();
        let put = async || store.put_new(&key, Bytes::from_static(b"1")).await;
        assert!(put().await.is_err());
        assert_eq!(store.get(&key).await.unwrap(), None);
        assert!(put().await.is_err());
        assert_eq!(store.get(&key).await.unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(put().await.unwrap(), Put::Same);
    }
}
