//! What the archive reads of a record to file it: never the payload, so that a record which is
//! wrong within is filed with its run all the same.

use serde::Deserialize;

use crate::domain::digest::Digest;
use crate::domain::ids::PlatformRunId;
use crate::domain::time::Time;
use crate::domain::vocabulary::Stream;
use crate::runtime::archive::Folder;

/// The columns beside the record's bytes; each absent where the record does not say it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    pub platform_run_id: Option<PlatformRunId>,
    pub event_class: Option<String>,
    pub event_id: Option<String>,
    pub ts_utc: Option<Time>,
    pub admitted_at: Option<Time>,
    pub payload_hash: Option<Digest>,
}

/// The places where a record of any stream names its run.
#[derive(Deserialize)]
struct Peek {
    payload_hash: Option<Digest>,
    admitted_at: Option<Time>,
    event_id: Option<String>,
    envelope: Option<PeekEnvelope>,
    pins: Option<PeekRun>,
    subject: Option<PeekRun>,
    fact: Option<PeekRun>,
    ready: Option<PeekReady>,
    platform_run_id: Option<PlatformRunId>,
}

#[derive(Deserialize)]
struct PeekEnvelope {
    platform_run_id: PlatformRunId,
    event_class: String,
    event_id: String,
    ts_utc: Time,
}

#[derive(Deserialize)]
struct PeekRun {
    platform_run_id: Option<PlatformRunId>,
    event_id: Option<String>,
}

#[derive(Deserialize)]
struct PeekReady {
    pins: PeekRun,
}

impl Head {
    /// Reads what it can, and says in which folder the record belongs.
    #[must_use]
    pub fn of(stream: Stream, data: &[u8]) -> (Folder, Head) {
        let Ok(peek) = serde_json::from_slice::<Peek>(data) else {
            return (Folder::Unreadable, Head::default());
        };
        let head = match peek.envelope {
            Some(envelope) => Head {
                platform_run_id: Some(envelope.platform_run_id),
                event_class: Some(envelope.event_class),
                event_id: Some(envelope.event_id),
                ts_utc: Some(envelope.ts_utc),
                admitted_at: peek.admitted_at,
                payload_hash: peek.payload_hash,
            },
            None => {
                let places = [
                    peek.pins,
                    peek.subject,
                    peek.fact,
                    peek.ready.map(|it| it.pins),
                ];
                let named = places.iter().flatten();
                let run = named.clone().find_map(|it| it.platform_run_id);
                Head {
                    platform_run_id: peek.platform_run_id.or(run),
                    event_id: peek
                        .event_id
                        .or(named.clone().find_map(|it| it.event_id.clone())),
                    payload_hash: peek.payload_hash,
                    ..Head::default()
                }
            }
        };
        let folder = match head.platform_run_id {
            Some(run) => Folder::Run(run),
            None if stream == Stream::Control => Folder::Control,
            None => Folder::Unreadable,
        };
        (folder, head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stream: Stream, data: &str, folder: Folder, event_id: Option<&str>) {
        let (found, head) = Head::of(stream, data.as_bytes());
        assert_eq!((found, head.event_id.as_deref()), (folder, event_id));
    }

    #[test]
    fn every_form_is_filed_under_the_run_it_names() {
        let run = PlatformRunId::from_digest(Digest::of_bytes(b"a run"));
        let mine = Folder::Run(run);
        let envelope = format!(
            r#"{{"envelope":{{"platform_run_id":"{run}","event_class":"no class","event_id":"e1",
                "ts_utc":"2025-01-01T00:00:00Z","payload":[1.5]}},"more":1}}"#
        );
        check(Stream::Traffic, &envelope, mine, Some("e1"));
        let pins = format!(r#"{{"pins":{{"platform_run_id":"{run}"}}}}"#);
        check(Stream::CaseTriggers, &pins, mine, None);
        let label = format!(r#"{{"subject":{{"platform_run_id":"{run}","event_id":"e2"}}}}"#);
        check(Stream::Labels, &label, mine, Some("e2"));
        let ready =
            format!(r#"{{"kind":"READY","ready":{{"pins":{{"platform_run_id":"{run}"}}}}}}"#);
        check(Stream::Control, &ready, mine, None);
        let fact = format!(r#"{{"kind":"FACT","fact":{{"platform_run_id":"{run}"}}}}"#);
        check(Stream::Control, &fact, mine, None);
        check(
            Stream::Control,
            r#"{"kind":"FACT","fact":{}}"#,
            Folder::Control,
            None,
        );
        check(Stream::Traffic, "{}", Folder::Unreadable, None);
        check(Stream::Control, "no JSON", Folder::Unreadable, None);
    }
}
