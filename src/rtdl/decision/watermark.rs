//! How far context has surely been read, over all context groups and shards. Read in a statement
//! before the frames, so that a frame read later can only hold more.

use std::collections::BTreeSet;

use crate::contracts::groups::CONTEXT_GROUPS;
use crate::domain::time::Time;
use crate::runtime::lineage::END_OF_TIME;
use crate::substrate::db::{self, Client};

pub(super) const READ: &str = include_str!("sql/read_watermarks.sql");

/// How far each shard has been read.
pub(super) struct Watermarks(Vec<(String, Option<Time>)>);

/// Those of all context groups.
pub(super) async fn read(client: &Client) -> Result<Watermarks, db::Error> {
    let groups: Vec<&str> = CONTEXT_GROUPS.iter().map(|(group, _)| *group).collect();
    let statement = client.prepare_cached(READ).await?;
    let rows = client.query(&statement, &[&groups]).await?;
    let known = rows
        .iter()
        .map(|row| (row.get::<_, String>(1), row.get::<_, Option<Time>>(2)));
    Ok(Watermarks(known.collect()))
}

impl Watermarks {
    /// The lowest of the `stream/shard` scopes that must have been read; `None` while any has none.
    pub(super) fn lowest(&self, scopes: &BTreeSet<String>) -> Option<Time> {
        lowest(&self.0, scopes)
    }

    /// How many of the scopes were closed by a reshard and are read to their end: others hold what
    /// comes after.
    pub(super) fn n_drained(&self, scopes: &BTreeSet<String>) -> usize {
        let is_drained = |mark: &Option<Time>| mark.is_some_and(|it| END_OF_TIME <= it);
        let drained = self.0.iter().filter(|(_, mark)| is_drained(mark));
        drained.filter(|(scope, _)| scopes.contains(scope)).count()
    }
}

fn lowest(known: &[(String, Option<Time>)], scopes: &BTreeSet<String>) -> Option<Time> {
    let of = |scope: &String| {
        known
            .iter()
            .find(|(known, _)| known == scope)
            .and_then(|(_, at)| *at)
    };
    let marks: Option<Vec<Time>> = scopes.iter().map(of).collect();
    marks.and_then(|marks| marks.into_iter().min())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_unread_shard_holds_the_watermark_back() {
        let scopes: BTreeSet<String> = ["a/0".to_owned(), "b/0".to_owned()].into();
        let at = |micros| Some(Time::from_micros(micros));
        let known = [
            ("a/0".to_owned(), at(5)),
            ("b/0".to_owned(), at(3)),
            ("c/0".to_owned(), at(1)),
        ];
        assert_eq!(lowest(&known, &scopes), at(3));
        assert_eq!(lowest(&known[..1], &scopes), None);
        assert_eq!(
            lowest(
                &[("a/0".to_owned(), at(5)), ("b/0".to_owned(), None)],
                &scopes
            ),
            None
        );
    }
}
