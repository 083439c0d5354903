//! The join: finds the frame of each traffic event through its flow binding, all keys of a batch
//! with one query a table.

use std::collections::{BTreeMap, HashMap};

use crate::contracts::decision::{InputPart, InputRef, ListHit};
use crate::contracts::payload::{ArrivalEntities, ArrivalEvent, FlowAnchor};
use crate::domain::digest::Digest;
use crate::domain::keys::FlowKey;
use crate::domain::offset::{OriginOffset, ShardId};
use crate::domain::time::Time;
use crate::domain::vocabulary::Stream;
use crate::engine::frame::{FramePart, JoinFrame};
use crate::substrate::db::{self, Client, Row};

pub(super) const READ_BINDINGS: &str = include_str!("sql/read_bindings.sql");
const READ_FRAMES: &str = include_str!("sql/read_frames.sql");

/// A frame and where its parts stand.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) frame: JoinFrame,
    pub(super) refs: BTreeMap<InputPart, InputRef>,
    /// The list entries that the event's entities stand on, read when it is decided.
    pub(super) lists: Vec<ListHit>,
}

impl Found {
    /// Whether nothing is left to wait for.
    pub(super) fn is_complete(&self) -> bool {
        self.frame.arrival_event.is_some()
            && self.frame.arrival_entities.is_some()
            && self.frame.flow_anchor.is_some()
    }
}

/// The incomplete ones: their places, and the keys of their flows.
pub(super) fn open(pending: &[(FlowKey, Time)], found: &[Found]) -> Vec<(usize, Digest)> {
    let open = (0..pending.len()).filter(|at| !found[*at].is_complete());
    open.map(|at| (at, pending[at].0.digest())).collect()
}

/// The frame key of each flow, as far as it is bound.
pub(super) async fn bound(
    client: &Client,
    open: &[(usize, Digest)],
) -> Result<HashMap<Digest, Digest>, db::Error> {
    if open.is_empty() {
        return Ok(HashMap::new());
    }
    let flow_keys: Vec<Digest> = open.iter().map(|it| it.1).collect();
    let statement = client.prepare_cached(READ_BINDINGS).await?;
    let rows = client.query(&statement, &[&flow_keys]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Reads the frames of the flows that are bound; what is not there (yet) is absent from its frame.
pub(super) async fn fill(
    client: &Client,
    open: Vec<(usize, Digest)>,
    bound: &HashMap<Digest, Digest>,
    found: &mut [Found],
) -> Result<(), db::Error> {
    if bound.is_empty() {
        return Ok(());
    }
    let mut frame_keys: Vec<Digest> = bound.values().copied().collect();
    frame_keys.sort_unstable();
    frame_keys.dedup();
    let statement = client.prepare_cached(READ_FRAMES).await?;
    let rows = client.query(&statement, &[&frame_keys]).await?;
    let mut frames: HashMap<Digest, Found> = HashMap::with_capacity(frame_keys.len());
    for row in &rows {
        add_part(frames.entry(row.get(0)).or_default(), row)?;
    }
    for (at, flow) in open {
        let frame = bound.get(&flow).and_then(|frame| frames.get(frame));
        found[at] = frame.cloned().unwrap_or_default();
    }
    Ok(())
}

fn add_part(found: &mut Found, row: &Row) -> Result<(), db::Error> {
    let payload_hash: Digest = row.get(2);
    let payload: &[u8] = row.get(3);
    let (part, stream) = match row.get::<_, i16>(1) {
        1 => {
            found.frame.arrival_event = Some(part::<ArrivalEvent>(payload_hash, payload)?);
            (InputPart::ArrivalEvent, Stream::ArrivalEvents)
        }
        2 => {
            found.frame.arrival_entities = Some(part::<ArrivalEntities>(payload_hash, payload)?);
            (InputPart::ArrivalEntities, Stream::ArrivalEntities)
        }
        3 => {
            found.frame.flow_anchor = Some(part::<FlowAnchor>(payload_hash, payload)?);
            (InputPart::FlowAnchor, Stream::FlowAnchor)
        }
        other => {
            return Err(db::Error::form(
                "frame part",
                &format!("part number {other}"),
            ));
        }
    };
    let sequence_number: &str = row.get(5);
    let sequence_number = sequence_number
        .parse()
        .map_err(|cause| db::Error::form("frame part", &cause))?;
    let origin_offset = OriginOffset {
        stream,
        shard_id: ShardId(row.get(4)),
        sequence_number,
    };
    found.refs.insert(
        part,
        InputRef {
            origin_offset,
            payload_hash,
        },
    );
    Ok(())
}

fn part<T: serde::de::DeserializeOwned>(
    payload_hash: Digest,
    payload: &[u8],
) -> Result<FramePart<T>, db::Error> {
    let payload =
        serde_json::from_slice(payload).map_err(|cause| db::Error::form("frame part", &cause))?;
    Ok(FramePart {
        payload_hash,
        payload,
    })
}
