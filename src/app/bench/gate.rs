//! A gate alone, on a port of its own, served as it is shipped: nobody reads what it puts on the log.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::auth::{self, Own};
use crate::app::bench::load::Target;
use crate::app::bench::usage::Cost;
use crate::app::commands::{Call, sr};
use crate::app::{access, bundles, roles};
use crate::domain::ids::ManifestFingerprint;
use crate::domain::keys::Pins;
use crate::governance::counters::Counter;
use crate::ingress::ig::{self, Ig};
use crate::ingress::sr::{NewRun, create};
use crate::rtdl::decision::{self, Decision};
use crate::substrate::clock::SystemEntropy;
use crate::substrate::tasks::Tasks;

pub(crate) struct Gate {
    ig: Arc<Ig>,
    addr: String,
    keys: PathBuf,
    tasks: Tasks,
    server: JoinHandle<std::io::Result<()>>,
}

impl Gate {
    pub(crate) async fn start(call: &Call) -> anyhow::Result<Gate> {
        let profile = &call.profile;
        let (bundle, files) = bundles::sources(None)?;
        let options = decision::Options {
            batch_records_max: 1_000,
            batch_bytes_max: 4 << 20,
            join_wait_ms: profile.semantics.join_wait_ms,
            posture: profile.semantics.posture.unwrap_or_default(),
            snapshot_decisions: profile.decision.snapshot_decisions.get().into(),
            memory: profile.decision.memory(&call.data_dir),
            look_ms: 2_000,
        };
        let bundle = bundles::compile(&bundle, &files, None)?;
        let decides = Decision::create(options, call.ground.clone(), bundle);
        let options = ig::Options {
            gate_id: "bench".to_owned(),
            backlog_ms_max: profile.gate.backlog_ms_max,
            producer_events_per_s: profile.gate.producer_events_per_s,
            ..ig::Options::default()
        };
        let ground = call.ground.clone();
        let entropy = Arc::new(SystemEntropy);
        let ig = Ig::create(options, ground, entropy, [7; 32], decides.waiter())?;
        let mut tasks = Tasks::new(CancellationToken::new());
        ig.start(&mut tasks);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?.to_string();
        // Whatever the profile says: this port is the bench's own, and so is the key to it.
        let keys = call.data_dir.join("run/bench");
        auth::key_for(&keys, Own::Local, &SystemEntropy)?;
        let door = access::Door {
            accesses: ig::api().document().accesses(),
            authenticator: Arc::new(auth::by_keys_in(&keys, call.ground.clock.clone())?),
            guard: call.ground.guard(),
            is_local: true,
        };
        let router = access::behind(door, ig.router());
        let head_max = Duration::from_millis(profile.http.client_ms_max.get().into());
        let served = roles::answer(listener, router, head_max, None, tasks.stop_token());
        Ok(Gate {
            ig,
            addr,
            keys,
            tasks,
            server: tokio::spawn(served),
        })
    }

    /// Where the events of a run are sent.
    pub(crate) fn target(&self, pins: &Pins) -> Target {
        Target {
            addr: self.addr.clone(),
            keys: self.keys.clone(),
            pins: pins.clone(),
        }
    }

    /// What was asked of the substrates so far, for the events that are admitted.
    pub(crate) fn cost(&self, call: &Call, pins: &Pins) -> Cost {
        Cost {
            usage: call.ground.usage(),
            events: call.ground.counters.get(pins, Counter::Admitted),
        }
    }

    /// Returns when what is admitted has its receipts.
    pub(crate) async fn settle(&self) {
        self.ig.flush_receipts().await;
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.tasks.stop_token().cancel();
        self.tasks.join().await?;
        self.server.await??;
        Ok(())
    }
}

/// A run of the bench's own.
pub(crate) async fn live_run(call: &Call) -> anyhow::Result<Pins> {
    let name = format!("bench-{}", call.ground.clock.now().micros());
    let new = NewRun {
        manifest_fingerprint: ManifestFingerprint::of_live(None, &name),
        name,
        label: String::new(),
        tenant_id: None,
        semantic_digest: call.profile.semantic_digest(),
        world: None,
    };
    Ok(create(&sr::by_hand(call), &new).await?.facts.pins)
}
