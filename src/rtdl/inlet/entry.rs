//! What an inlet reads out of a guarded record: the keys it stands under and the row it becomes.
//! Pure.

use serde::Deserialize as _;

use crate::contracts::code::Code;
use crate::contracts::payload::{ArrivalEntities, ArrivalEvent, FlowAnchor};
use crate::domain::digest::Digest;
use crate::domain::ids::{EventId, PlatformRunId};
use crate::domain::keys::{FlowKey, JoinFrameKey, Pins};
use crate::domain::offset::OriginOffset;
use crate::domain::time::Time;
use crate::domain::vocabulary::EventClass;
use crate::runtime::guard::{Guarded, Refused};

/// The payload version that this release reads.
const SCHEMA_VERSION: i64 = 1;

/// One context record, ready for its row.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) frame_key: Digest,
    /// Of a flow anchor only.
    pub(super) flow_key: Option<Digest>,
    pub(super) class: EventClass,
    pub(super) event_id: EventId,
    pub(super) payload_hash: Digest,
    pub(super) payload: Vec<u8>,
    pub(super) origin_offset: OriginOffset,
    pub(super) admitted_at: Time,
    pub(super) pins: Pins,
}

impl Entry {
    /// The part of the frame, as the column has it.
    pub(super) fn part(&self) -> i16 {
        match self.class {
            EventClass::ArrivalEvent => 1,
            EventClass::ArrivalEntities => 2,
            EventClass::FlowAnchor | EventClass::Traffic => 3,
        }
    }
}

/// Reads the keys out of the payload. The gate has validated it, but another gate may have been
/// of another release: what does not fit is refused, not guessed (L8).
///
/// # Errors
/// What is to be quarantined.
pub(super) fn read(guarded: &Guarded) -> Result<Entry, Box<Refused>> {
    let envelope = &guarded.event.envelope;
    let refused = |code, detail: String| {
        Box::new(Refused {
            origin_offset: guarded.origin_offset.clone(),
            code,
            detail,
            event: Some(Box::new(guarded.event.clone())),
        })
    };
    if envelope.schema_version != SCHEMA_VERSION {
        let detail = format!("schema version {}", envelope.schema_version);
        return Err(refused(Code::SchemaVersionUnsupported, detail));
    }
    let keys = keys(guarded).map_err(|cause| refused(Code::SchemaInvalid, cause.to_string()))?;
    let Some((frame_key, flow_key)) = keys else {
        let detail = format!("{} is no context", guarded.class);
        return Err(refused(Code::ClassUnknown, detail));
    };
    Ok(Entry {
        frame_key,
        flow_key,
        class: guarded.class,
        event_id: envelope.event_id.clone(),
        payload_hash: guarded.event.payload_hash,
        payload: envelope.payload.to_string().into_bytes(),
        origin_offset: guarded.origin_offset.clone(),
        admitted_at: guarded.event.admitted_at,
        pins: envelope.pins(),
    })
}

type Keys = (Digest, Option<Digest>);

fn keys(guarded: &Guarded) -> Result<Option<Keys>, serde_json::Error> {
    let envelope = &guarded.event.envelope;
    let (run, payload) = (envelope.platform_run_id, &envelope.payload);
    Ok(match guarded.class {
        EventClass::ArrivalEvent => {
            let arrival = ArrivalEvent::deserialize(payload)?;
            Some((
                frame_key(run, arrival.merchant_id, arrival.arrival_seq),
                None,
            ))
        }
        EventClass::ArrivalEntities => {
            let arrival = ArrivalEntities::deserialize(payload)?;
            Some((
                frame_key(run, arrival.merchant_id, arrival.arrival_seq),
                None,
            ))
        }
        EventClass::FlowAnchor => {
            let anchor = FlowAnchor::deserialize(payload)?;
            let flow = FlowKey {
                platform_run_id: run,
                flow_id: anchor.flow_id,
            };
            let frame = frame_key(run, anchor.merchant_id, anchor.arrival_seq);
            Some((frame, Some(flow.digest())))
        }
        EventClass::Traffic => None,
    })
}

fn frame_key(platform_run_id: PlatformRunId, merchant_id: String, arrival_seq: i64) -> Digest {
    let key = JoinFrameKey {
        platform_run_id,
        merchant_id,
        arrival_seq,
    };
    key.digest()
}
