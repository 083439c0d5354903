//! The archive: its manifest holds as many records of the run as the bus, and every segment is
//! there with its hash (L8).

use crate::domain::digest::Digest;
use crate::domain::vocabulary::{EventClass, Stream};
use crate::reconcile::check::{Examples, Findings, int};
use crate::reconcile::{Audit, Error};
use crate::substrate::objects::ObjectKey;

const LIST: &str = include_str!("sql/list_archive.sql");

/// `on_bus`: records of the run in the event streams that the archive has passed.
pub(super) async fn audit(
    audit: &Audit<'_>,
    on_bus: i64,
    findings: &mut Findings,
) -> Result<(), Error> {
    if !audit.options.has_archive {
        return Ok(());
    }
    let rows = audit
        .ground
        .db
        .get()
        .await?
        .query(LIST, &[&audit.run, &audit.cut.since])
        .await?;
    let (mut in_manifest, mut n_intact, mut altered) = (0, 0, Examples::default());
    for (at, row) in rows.iter().enumerate() {
        let stream = row.get::<_, &str>(0).parse::<Stream>();
        if stream.is_ok_and(|it| EventClass::ALL.iter().any(|class| class.stream() == it)) {
            in_manifest += i64::from(row.get::<_, i32>(1));
        }
        let key: ObjectKey = row.get::<_, &str>(2).parse().map_err(Error::Key)?;
        if is_intact(audit, &key, row.get(3)).await? {
            n_intact += 1;
        } else {
            altered.add(|| key.to_string());
        }
        (audit.progress)("archive segments", at as u64 + 1);
    }
    findings.check(
        "archive_records_equal_bus",
        on_bus,
        in_manifest,
        Examples::default(),
    );
    findings.check(
        "archive_segments_intact",
        int(rows.len()),
        n_intact,
        altered,
    );
    Ok(())
}

async fn is_intact(audit: &Audit<'_>, key: &ObjectKey, hash: Digest) -> Result<bool, Error> {
    let objects = &audit.ground.objects;
    if !audit.options.hash_archive {
        return Ok(objects.get_range(key, 0, 0).await?.is_some());
    }
    let object = objects.get(key).await?;
    Ok(object.is_some_and(|object| Digest::of_bytes(&object) == hash))
}
