//! Every service role in one process on one port: created before one is started, drained in order.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum_server::accept::NoDelayAcceptor;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::cli::Role;
use crate::app::http::{self, Port};
use crate::app::output::Output;
use crate::app::platform::{self, Platform};
use crate::app::profile::Profile;
use crate::app::{access, actions, auth, bundles, progress, secrets};
use crate::contracts::action_intent::IntentType;
use crate::domain::digest::Digest;
use crate::ingress::ig::{self, Ig};
use crate::maintenance::{self, Maintenance};
use crate::rtdl::actions::{self as al, Actions};
use crate::rtdl::archive::{self, Archive};
use crate::rtdl::audit;
use crate::rtdl::decision::{self, Bundles, Decision, Looks, Shadows};
use crate::rtdl::graph::{self, GraphProjection};
use crate::rtdl::inlet::{self, Inlet};
use crate::runtime::archive::Flush;
use crate::runtime::ground::Ground;
use crate::runtime::outbox;
use crate::substrate::auth::tls::{Tls, Untrusted};
use crate::substrate::bus::embedded::EmbeddedBus;
use crate::substrate::clock::Clock;
use crate::substrate::tasks::Tasks;

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listen {
    /// As the profile says: a service.
    Profile,
    /// Wherever there is room: a command that brings its own roles.
    Any,
}

/// What others may ask of the roles that run in this process.
#[derive(Clone)]
pub(crate) struct Bells {
    /// Rung to have archive and receipts written out now.
    pub(crate) flush: Flush,
    /// Asked to look at open batches now.
    pub(crate) gate: Arc<Ig>,
    /// Rung to have the decision role look at every run now.
    looks: Looks,
    has_archive: bool,
    /// The types of actions that an endpoint takes.
    routed: BTreeSet<IntentType>,
}

/// Which roles run in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Here {
    ig: bool,
    inlet: bool,
    decision: bool,
}

impl Here {
    /// No role named: all of them.
    fn of(roles: &[Role]) -> Here {
        let has =
            |role: Role| roles.is_empty() || roles.contains(&Role::All) || roles.contains(&role);
        Here {
            ig: has(Role::Ig),
            inlet: has(Role::RtdlInlet),
            decision: has(Role::Decision),
        }
    }

    fn all(self) -> bool {
        self.ig && self.inlet && self.decision
    }
}

/// Roles that run in this process.
pub(crate) struct Running {
    /// The ground under the policy in force.
    pub(crate) ground: Ground,
    pub(crate) addr: SocketAddr,
    pub(crate) bells: Bells,
    /// Stopped first: nothing new comes in.
    ingress: Tasks,
    /// Stopped when they have passed what came in.
    consumers: Tasks,
    server: Tasks,
    here: Here,
}

/// How long a drain waits for answers that have begun.
const DRAIN_HTTP_MAX: Duration = Duration::from_secs(5);
/// How long a drain waits for the consumers to pass what was admitted.
const DRAIN_MAX: Duration = Duration::from_secs(600);
/// How long a record may take from the wire into a managed bus.
const PUT_DELIVERY_MS_MAX: u64 = 1_000;
/// Who waits for a decision is told of it; this is for where no notice comes through.
const DECISION_LOOK_MS: u64 = 2_000;
const TRIM_EVERY: Duration = Duration::from_secs(300);

/// Creates every role, then starts them, then listens.
///
/// # Errors
/// A bundle that does not compile, a port that is taken.
pub(crate) async fn start(
    platform: &Platform,
    roles: &[Role],
    stop: &CancellationToken,
    listen: Listen,
) -> anyhow::Result<Running> {
    let profile = &platform.profile;
    let here = Here::of(roles);
    let (bundles, policy) = bundles::deciding(platform).await?;
    let ground = under(platform, &policy);
    let flush = Flush::default();
    let mut ingress = Tasks::new(CancellationToken::new());
    let mut consumers = Tasks::new(CancellationToken::new());

    let shared_key = profile.gate.token_key_file.as_deref();
    let token_key = secrets::token_key(shared_key, &platform.data_dir, platform.entropy.as_ref())?;
    let entropy = platform.entropy.clone();
    let shadows = shadows(profile, &ground).await;
    let decision = decision_role(platform, &ground, bundles, shadows);
    let gate = Ig::create(
        gate_options(platform, listen),
        ground.clone(),
        entropy,
        token_key,
        decision.waiter(),
    )?;
    let inlet = Inlet::create(inlet_options(platform), &ground);
    let graph = GraphProjection::create(graph::Options::default(), &ground);
    let acting = acting(platform, &ground)?;
    let archive = Archive::create(archive::Options::default(), &ground, flush.clone());

    if here.ig {
        gate.start(&mut ingress);
        decision.start_telling(&mut consumers);
    }
    let (db, bus) = (ground.db.clone(), ground.bus.clone());
    consumers.spawn("outbox", outbox::relay(db, bus, consumers.stop_token()));
    if here.inlet {
        inlet.start(&mut consumers);
        graph.start(&mut consumers);
        if profile.archive.enabled {
            archive.start(&mut consumers);
        }
    }
    if here.decision {
        decision.start(&mut consumers);
        acting.start(&mut consumers);
    }
    let maintenance = platform.maintenance.clone();
    Maintenance::create(maintenance_options(profile), &ground, maintenance).start(&mut consumers);
    // A managed bus trims itself.
    if let Some(own) = &platform.own {
        let trim = trim(
            own.bus.clone(),
            ground.clock.clone(),
            consumers.stop_token(),
        );
        consumers.spawn("retention", trim);
    }

    let mut running = Running {
        ground,
        addr: bind_addr(platform, listen),
        bells: Bells {
            flush,
            gate: gate.clone(),
            looks: decision.looks(),
            has_archive: profile.archive.enabled,
            routed: actions::routed(profile),
        },
        ingress,
        consumers,
        server: Tasks::default(),
        here,
    };
    running.listen(platform, stop, gate).await?;
    Ok(running)
}

/// Has the embedded log drop what is older than it keeps.
async fn trim(bus: Arc<EmbeddedBus>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = bus.trim(clock.now()).await {
            tracing::warn!(error = %error, "retention failed; it tries again");
        }
        drop(tokio::time::timeout(TRIM_EVERY, stop.cancelled()).await);
    }
}

fn under(platform: &Platform, policy: &Digest) -> Ground {
    let slot = &platform.profile.semantics.bundle_slot;
    platform::under_policy(&platform.ground, policy, slot)
}

fn bind_addr(platform: &Platform, listen: Listen) -> SocketAddr {
    let mut addr = platform.profile.http.bind;
    if listen == Listen::Any {
        addr.set_port(0);
    }
    addr
}

fn gate_options(platform: &Platform, listen: Listen) -> ig::Options {
    let semantics = &platform.profile.semantics;
    let managed = platform.profile.substrates.managed.as_ref();
    // A put that a dead gate had begun lands within its limit, and a moment for the way.
    let put_ms = managed.map(|it| it.kinesis.request_ms_max.get());
    ig::Options {
        gate_id: match (managed, listen) {
            // Beside the gates that serve: it must not wait for the lease of one of them.
            (Some(_), Listen::Any) => "command".to_owned(),
            _ => platform.profile.gate.id.clone(),
        },
        takeover_wait_ms: put_ms.map_or(0, |it| u64::from(it) + PUT_DELIVERY_MS_MAX),
        dedupe_horizon_days: semantics.dedupe_horizon_days,
        future_tolerance_ms: semantics.future_tolerance_ms,
        backlog_ms_max: platform.profile.gate.backlog_ms_max,
        producer_events_per_s: platform.profile.gate.producer_events_per_s,
        attributes: semantics.attributes.clone(),
        body_ms_max: platform.profile.http.client_ms_max.get().into(),
        ..ig::Options::default()
    }
}

/// What the profile says of retention.
pub(crate) fn maintenance_options(profile: &Profile) -> maintenance::Options {
    let retention = &profile.retention;
    let minutes = u64::from(retention.interval_minutes.get());
    maintenance::Options {
        evidence_days: retention.evidence_days,
        dedupe_grace_days: retention.dedupe_grace_days.get(),
        dedupe_horizon_days: profile.semantics.dedupe_horizon_days,
        interval: Duration::from_secs(60 * minutes),
        has_archive: profile.archive.enabled,
    }
}

fn inlet_options(platform: &Platform) -> inlet::Options {
    let mut options = inlet::Options::default();
    options.consumer.late_bound_ms = platform.profile.semantics.late_bound_ms;
    options
}

fn decision_role(
    platform: &Platform,
    ground: &Ground,
    bundles: Arc<Bundles>,
    shadows: Shadows,
) -> Arc<Decision> {
    let options = decision::Options {
        batch_records_max: 1_000,
        batch_bytes_max: 4 << 20,
        join_wait_ms: platform.profile.semantics.join_wait_ms,
        posture: platform.profile.semantics.posture.unwrap_or_default(),
        snapshot_decisions: platform.profile.decision.snapshot_decisions.get().into(),
        memory: platform.profile.decision.memory(platform.data_dir.path()),
        look_ms: DECISION_LOOK_MS,
    };
    Decision::resolving(options, ground, bundles, shadows)
}

/// The bundles of the shadow slots. One that cannot be used is said and counted; it keeps nothing from
/// starting.
async fn shadows(profile: &Profile, ground: &Ground) -> Shadows {
    let declared = profile.semantics.attributes.as_ref();
    let mut shadows = Shadows::default();
    for (slot, dir) in &profile.decision.shadows {
        match bundles::shadow(ground, (slot, dir), declared).await {
            Ok(bundle) => shadows.bundles.push(bundle),
            Err(error) => {
                tracing::warn!(slot, dir = %dir.display(), error = %format!("{error:#}"), "a shadow bundle cannot be used; its slot stays empty");
                shadows.n_broken += 1;
            }
        }
    }
    shadows
}

fn acting(platform: &Platform, ground: &Ground) -> anyhow::Result<Arc<Actions>> {
    let profile = &platform.profile;
    let (options, endpoints) = (actions::options(profile), actions::endpoints(profile)?);
    let entropy = platform.entropy.clone();
    Ok(Arc::new(Actions::create(
        options, endpoints, ground, entropy,
    )))
}

type Served = Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>>;

/// Serves until it is told to stop; then what has begun is answered, for [`DRAIN_HTTP_MAX`] at most.
pub(crate) async fn answer(
    listener: TcpListener,
    router: axum::Router,
    head_max: Duration,
    tls: Option<(Arc<Tls>, Untrusted)>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let handle = axum_server::Handle::<SocketAddr>::new();
    let mut server = axum_server::Server::from_listener(listener)
        .http1_only()
        .first_request_timeout(head_max)
        .handle(handle.clone());
    server.http_builder().http1().header_read_timeout(head_max);
    let router = router.into_make_service();
    // Small answers must not wait for more (LIMITS: count hops): both set TCP_NODELAY.
    let mut served: Served = match tls {
        Some((tls, untrusted)) => {
            let acceptor = tls.acceptor(head_max, untrusted);
            Box::pin(server.acceptor(acceptor).serve(router))
        }
        None => Box::pin(server.acceptor(NoDelayAcceptor::new()).serve(router)),
    };
    tokio::select! {
        ended = &mut served => ended,
        () = stop.cancelled() => {
            handle.graceful_shutdown(Some(DRAIN_HTTP_MAX));
            served.await
        }
    }
}

impl Running {
    /// Binds the port, announces it in the data directory, serves.
    async fn listen(
        &mut self,
        platform: &Platform,
        stop: &CancellationToken,
        gate: Arc<Ig>,
    ) -> anyhow::Result<()> {
        let listener = TcpListener::bind(self.addr).await.with_context(|| {
            format!(
                "listening on {}; --profile has another http.bind",
                self.addr
            )
        })?;
        self.addr = listener.local_addr()?;
        let opened = auth::open(platform, &secrets::owner_token(&platform.data_dir)?)?;
        let guard = self.ground.guard();
        let door = access::Door {
            accesses: http::accesses(),
            authenticator: opened.authenticator.clone(),
            guard: guard.clone(),
            is_local: self.addr.ip().is_loopback() && opened.tls.is_none(),
        };
        let port = Port {
            ground: self.ground.clone(),
            profile: platform.profile.clone(),
            maintenance: platform.maintenance.clone(),
            bells: self.bells.clone(),
            addr: self.addr.to_string(),
            data_dir: platform.data_dir.path().to_owned(),
            stop: stop.clone(),
        };
        let evidence = Arc::new(self.ground.clone());
        let router = audit::http::api()
            .merge(graph::http::api())
            .merge(decision::http::api())
            .with_state(evidence)
            .merge(al::http::api().with_state(al::http::Desk::create(&self.ground)))
            .merge(http::api().with_state(Arc::new(port)));
        let router = match self.here.ig {
            true => router.merge(gate.router()),
            false => router,
        };
        let router = access::behind(door, http::with_fallbacks(router));
        let head_max = Duration::from_millis(platform.profile.http.client_ms_max.get().into());
        let stopped = self.server.stop_token();
        let (db, ground) = (self.ground.db.clone(), self.ground.clone());
        let untrusted = access::untrusted(guard.clone());
        let under = opened.tls.clone().map(|tls| (tls, untrusted));
        self.server.spawn("denials", guard.run(db, stopped.clone()));
        let (authenticator, tls) = (opened.authenticator, opened.tls);
        let watch = auth::watch(authenticator, tls, ground, stopped.clone());
        self.server.spawn("secrets", watch);
        self.server.spawn("http", async move {
            let served = answer(listener, router, head_max, under, stopped);
            if let Err(error) = served.await {
                tracing::error!(error = %error, "the HTTP server ended");
            }
        });
        platform.data_dir.announce(&self.addr.to_string())?;
        Ok(())
    }

    /// Takes nothing more in, waits until everyone has passed what there is, writes out what is
    /// held, releases the leases, stops.
    ///
    /// # Errors
    /// A task that panicked, or consumers that do not pass.
    pub(crate) async fn drain(self, output: &Output) -> anyhow::Result<()> {
        let Running {
            ground,
            bells,
            ingress,
            consumers,
            server,
            here,
            ..
        } = self;
        ingress.stop_token().cancel();
        ingress.join().await?;
        // What others are to pass, this process does not wait for.
        if here.all() {
            settle(&ground, &bells, output).await?;
        }
        consumers.stop_token().cancel();
        consumers.join().await?;
        server.stop_token().cancel();
        drop(server.join().await);
        Ok(())
    }
}

/// Waits until the outbox is empty, every consumer has passed the tips, and every run that is not
/// drained is decided up to them.
///
/// # Errors
/// When that takes longer than [`DRAIN_MAX`]: what is left is taken up by the next start.
pub(crate) async fn settle(ground: &Ground, bells: &Bells, output: &Output) -> anyhow::Result<()> {
    let begun = Instant::now();
    // A run that nobody has looked at yet, ended or not, would count as drained.
    let looked = tokio::time::timeout(DRAIN_MAX, bells.looks.clone().complete()).await;
    looked.context("the decision role does not look at its runs")?;
    let mut pause = Duration::from_millis(10);
    loop {
        bells.flush.ask();
        let behind = behind(ground, bells).await?;
        if behind == 0 {
            return Ok(());
        }
        if begun.elapsed() > Duration::from_secs(1) {
            output.progress("draining", 0, 0);
        }
        anyhow::ensure!(
            begun.elapsed() < DRAIN_MAX,
            "{behind} shards are still to be passed"
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

/// Waiting messages, and positions that have not reached their tips.
async fn behind(ground: &Ground, bells: &Bells) -> anyhow::Result<usize> {
    // Actions first: what they tell the cases waits in the outbox.
    let open = al::open_logged(ground, &bells.routed).await?;
    let waiting = open + outbox::waiting(&ground.db).await?;
    let waiting = usize::try_from(waiting).unwrap_or(0);
    Ok(waiting + progress::behind(ground, bells.has_archive).await?)
}

/// Runs the service roles until told to stop.
///
/// # Errors
/// Those of start and drain.
pub(crate) async fn serve(
    platform: Platform,
    roles: &[Role],
    output: &Output,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let running = start(&platform, roles, &stop, Listen::Profile).await?;
    output.note(format!("fraudplat listens on http://{}", running.addr));
    output.note(format!(
        "data in {}; Ctrl-C drains and ends",
        platform.data_dir.path().display()
    ));
    stop.cancelled().await;
    running.drain(output).await?;
    platform.close().await
}
