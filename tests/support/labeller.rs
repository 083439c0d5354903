//! Somebody who labels payments: who may put records on the stream, beside the platform.

use std::sync::Arc;

use fraudplat::contracts::label_assertion::LabelAssertion;
use fraudplat::domain::ids::LabelAssertionId;
use fraudplat::domain::keys::LabelSubject;
use fraudplat::domain::time::Time;
use fraudplat::domain::vocabulary::{LabelType, Stream};
use fraudplat::substrate::aws::Credentials;
use fraudplat::substrate::bus::kinesis::{KinesisBus, Options, StreamOptions};
use fraudplat::substrate::bus::{Bus as _, PutOutcome, PutRecord};
use fraudplat::substrate::clock::{SystemClock, SystemEntropy};

use crate::servers::Servers;

/// Of one run.
pub(crate) struct Labeller {
    bus: KinesisBus,
    runtime: tokio::runtime::Runtime,
    run: String,
}

impl Labeller {
    pub(crate) fn of(servers: &Servers, run: &str) -> Labeller {
        let url = servers.setting("FRAUDPLAT__SUBSTRATES__MANAGED__KINESIS__ENDPOINT_URL");
        let stream = StreamOptions {
            name: Stream::Labels.to_string(),
            shards: 1,
            retention_hours: 24,
        };
        let options = Options {
            endpoint_url: Some(url.to_owned()),
            region: Some("us-east-1".to_owned()),
            ca_file: None,
            connect_timeout_ms: 5_000,
            request_timeout_ms: 30_000,
            reads_per_second_max: 5,
            streams: [(Stream::Labels, stream)].into(),
        };
        let credentials = Credentials::Keys {
            id: servers.setting("AWS_ACCESS_KEY_ID").to_owned(),
            secret: servers.setting("AWS_SECRET_ACCESS_KEY").to_owned(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
        let bus = runtime.block_on(KinesisBus::open(options, &credentials, clock, entropy));
        Labeller {
            bus: bus.unwrap(),
            runtime,
            run: run.to_owned(),
        }
    }

    /// Says of payments that they were fraud, as it was known at some time; whether all of it is on the stream.
    pub(crate) fn frauds(&self, known: &[(String, Time)]) -> bool {
        let records = known.iter().map(|(event, at)| self.record(event, *at));
        let put = self.bus.put_records(Stream::Labels, records.collect());
        let outcomes = self.runtime.block_on(put);
        let is_stored = |it: &PutOutcome| matches!(it, PutOutcome::Stored(_));
        outcomes.iter().all(is_stored)
    }

    fn record(&self, event_id: &str, observed_time: Time) -> PutRecord {
        let subject = LabelSubject {
            platform_run_id: self.run.parse().unwrap(),
            event_id: event_id.parse().unwrap(),
        };
        let label_type = LabelType::FraudDisposition;
        let label = LabelAssertion {
            schema_version: 1,
            label_assertion_id: LabelAssertionId::of(&subject, label_type, "bank", event_id),
            subject,
            label_type,
            value: "CONFIRMED_FRAUD".to_owned(),
            effective_time: observed_time,
            observed_time,
            source: "bank".to_owned(),
            source_ref_id: event_id.to_owned(),
            actor_id: "bank".parse().unwrap(),
            evidence_refs: Vec::new(),
        };
        PutRecord {
            partition_key: event_id.to_owned(),
            data: serde_json::to_vec(&label).unwrap().into(),
        }
    }
}
