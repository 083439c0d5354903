//! The guard of every consumer: what was read is an admitted event of this stream with an honest
//! hash, or it is refused with a reason. Pure.

use std::str::FromStr;

use crate::contracts::code::Code;
use crate::contracts::envelope::AdmittedEvent;
use crate::domain::offset::{OriginOffset, ShardRef};
use crate::domain::vocabulary::EventClass;
use crate::substrate::bus::BusRecord;

/// A record that may be acted on.
#[derive(Debug, Clone, PartialEq)]
pub struct Guarded {
    pub origin_offset: OriginOffset,
    pub class: EventClass,
    pub event: AdmittedEvent,
}

/// A record that may not.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    pub origin_offset: OriginOffset,
    pub code: Code,
    pub detail: String,
    /// What could be read of it.
    pub event: Option<Box<AdmittedEvent>>,
}

/// Checks envelope, class and hashes of one record.
///
/// # Errors
/// [`Refused`], to be quarantined: a consumer never drops silently (L3).
pub fn guard(shard: &ShardRef, record: &BusRecord) -> Result<Guarded, Box<Refused>> {
    let origin_offset = OriginOffset {
        stream: shard.stream,
        shard_id: shard.shard_id.clone(),
        sequence_number: record.sequence_number.clone(),
    };
    let refused = |code, detail: String, event| {
        Err(Box::new(Refused {
            origin_offset: origin_offset.clone(),
            code,
            detail,
            event,
        }))
    };
    let event: AdmittedEvent = match serde_json::from_slice(&record.data) {
        Ok(event) => event,
        Err(cause) => return refused(Code::ItemUnparsable, cause.to_string(), None),
    };
    let class = match EventClass::from_str(&event.envelope.event_class) {
        Ok(class) if class.stream() == shard.stream => class,
        Ok(class) => {
            let detail = format!("class {class} does not belong on {}", shard.stream);
            return refused(Code::ClassUnknown, detail, Some(Box::new(event)));
        }
        Err(cause) => return refused(Code::ClassUnknown, cause.to_string(), Some(Box::new(event))),
    };
    let unlike = match event.envelope.payload_hash() {
        Ok(hash) if hash != event.payload_hash => Some(("payload", hash, event.payload_hash)),
        // The releases before it wrote none.
        Ok(_) => event
            .envelope_hash
            .map(|said| ("envelope", event.proof(), said))
            .filter(|(_, hash, said)| hash != said),
        Err(cause) => {
            let detail = cause.to_string();
            return refused(Code::NumberNotInteger, detail, Some(Box::new(event)));
        }
    };
    if let Some((what, hash, said)) = unlike {
        let detail = format!("the {what} hashes to {hash}, the record says {said}");
        return refused(Code::PayloadHashMismatch, detail, Some(Box::new(event)));
    }
    Ok(Guarded {
        origin_offset,
        class,
        event,
    })
}
