//! The artifact, written once: the first of a day under the day, later ones under their time too.

use bytes::Bytes;

use crate::contracts::reconciliation::Reconciliation;
use crate::reconcile::Error;
use crate::substrate::objects::{ObjectKey, Objects, Put};

pub(super) async fn write(
    objects: &dyn Objects,
    reconciliation: &Reconciliation,
) -> Result<ObjectKey, Error> {
    let mut body =
        serde_json::to_vec_pretty(reconciliation).expect("a reconciliation is plain JSON");
    body.push(b'\n');
    let body = Bytes::from(body);
    let (run, at) = (reconciliation.platform_run_id, reconciliation.made_at);
    let of_day = format!("{run}/obs/reconciliation/{}.json", at.date());
    let of_time = format!(
        "{run}/obs/reconciliation/{}.{}.json",
        at.date(),
        at.micros()
    );
    for name in [&of_day, &of_time] {
        let key: ObjectKey = name.parse().map_err(Error::Key)?;
        match objects.put_new(&key, body.clone()).await? {
            Put::Created | Put::Same => return Ok(key),
            Put::Conflict { .. } => {}
        }
    }
    Err(Error::ArtifactConflict { key: of_time })
}
