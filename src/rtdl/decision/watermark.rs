//! How far context has surely been read, over all context groups and shards. Read in a statement
//! before the frames, so that a frame read later can only hold more.

use std::collections::BTreeSet;

use crate::contracts::groups::CONTEXT_GROUPS;
use crate::domain::time::Time;
use crate::substrate::db::{self, Client};

const READ: &str = include_str!("sql/read_watermarks.sql");

/// The lowest watermark of all context groups; `None` while any group or shard has none.
///
/// `scopes` are the `stream/shard` scopes that must have been read.
pub(super) async fn read(
    client: &Client,
    scopes: &BTreeSet<String>,
) -> Result<Option<Time>, db::Error> {
    let groups: Vec<&str> = CONTEXT_GROUPS.iter().map(|(group, _)| *group).collect();
    let statement = client.prepare_cached(READ).await?;
    let rows = client.query(&statement, &[&groups]).await?;
    let known = rows
        .iter()
        .map(|row| (row.get::<_, String>(1), row.get::<_, Option<Time>>(2)));
    let known: Vec<(String, Option<Time>)> = known.collect();
    Ok(lowest(&known, scopes))
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
