//! What a process stands on: its own data directory, or managed servers that many processes share.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::app::commands::Refusal;
use crate::app::profile::{self, Managed, Profile};
use crate::contracts::code::Code;
use crate::domain::vocabulary::Stream;
use crate::runtime::lease;
use crate::substrate::aws::Credentials;
use crate::substrate::bus::Bus;
use crate::substrate::bus::embedded::{self, EmbeddedBus};
use crate::substrate::bus::kinesis::{self, KinesisBus};
use crate::substrate::clock::{Clock, Entropy};
use crate::substrate::data_dir::OwnedDataDir;
use crate::substrate::db::private::{self, PrivatePostgres};
use crate::substrate::db::{self, Db, PoolOptions, managed, migrate};
use crate::substrate::objects::Objects;
use crate::substrate::objects::local::LocalObjects;
use crate::substrate::objects::s3::{self, S3Objects};

/// Bus, objects and database, opened.
pub(crate) struct Substrates {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) db: Db,
    /// Connected as the identity that may drop days of evidence.
    pub(crate) maintenance: Db,
    /// What this process runs itself; none on managed servers.
    pub(crate) own: Option<Embedded>,
}

/// The log and the server of a data directory.
pub(crate) struct Embedded {
    pub(crate) bus: Arc<EmbeddedBus>,
    pub(crate) postgres: PrivatePostgres,
}

/// Opens what the profile names.
///
/// # Errors
/// What could not be opened, and why.
pub(crate) async fn open(
    profile: &Profile,
    data_dir: &OwnedDataDir,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> anyhow::Result<Substrates> {
    match &profile.substrates.managed {
        Some(managed) => Box::pin(open_managed(profile, managed, clock, entropy)).await,
        None => Box::pin(open_embedded(profile, data_dir, clock, entropy)).await,
    }
}

/// The log, the objects, the private Postgres with its schema up to date. Leases of a dead
/// predecessor end: the lock on the directory proves that nobody holds them.
async fn open_embedded(
    profile: &Profile,
    data_dir: &OwnedDataDir,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> anyhow::Result<Substrates> {
    let postgres = start_postgres(profile, data_dir, entropy).await?;
    let migrations = Db::open(&postgres.owner(), &pool_options("fraudplat migrate", 2))?;
    migrate::migrate(&migrations)
        .await
        .context("bringing the schema up to date")?;
    migrations.close();
    let connections_max = profile.substrates.connections_max;
    let db = Db::open(&postgres.app(), &pool_options("fraudplat", connections_max))?;
    let maintenance = Db::open(&postgres.owner(), &maintenance_options())?;
    lease::release_all(&db).await?;

    let (bus_dir, bus_options) = (data_dir.bus(), bus_options(profile, clock));
    let objects_dir = data_dir.objects().join(&profile.substrates.bucket);
    let opened = tokio::task::spawn_blocking(move || {
        let bus = EmbeddedBus::open(&bus_dir, bus_options).map_err(of_log)?;
        let objects = LocalObjects::open(&objects_dir).context("opening the object store")?;
        anyhow::Ok((bus, objects))
    });
    let (bus, objects) = opened.await??;
    let bus = Arc::new(bus);
    Ok(Substrates {
        bus: bus.clone(),
        objects: Arc::new(objects),
        db,
        maintenance,
        own: Some(Embedded { bus, postgres }),
    })
}

async fn open_managed(
    profile: &Profile,
    managed: &Managed,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> anyhow::Result<Substrates> {
    let db = managed::open(&managed.postgres, "fraudplat");
    let db = db.await.map_err(|error| of_database(&error))?;
    let pending = migrate::check(&db).await;
    let pending = pending.map_err(|error| of_database(&error))?;
    if !pending.is_empty() {
        let detail = format!(
            "the schema lacks {}: run `fraudplat provision`",
            pending.join(", ")
        );
        return Err(Refusal::new(Code::DatabaseUnfit, detail).into());
    }
    let maintenance = managed::open_maintenance(&managed.postgres);
    Ok(Substrates {
        bus: Arc::new(open_kinesis(profile, managed, clock, entropy).await?),
        objects: Arc::new(open_s3(profile, managed, entropy).await?),
        db,
        maintenance: maintenance.map_err(|error| of_database(&error))?,
        own: None,
    })
}

/// What [`provision`] made of managed servers, and what stood there.
pub(crate) struct Provisioned {
    pub(crate) streams: Vec<kinesis::Provisioned>,
    pub(crate) bucket: s3::Provisioned,
    pub(crate) database: managed::Provisioned,
}

/// Makes streams, bucket and schema where they are missing.
///
/// # Errors
/// What a server refused.
pub(crate) async fn provision(
    profile: &Profile,
    managed: &Managed,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> anyhow::Result<Provisioned> {
    let database = managed::provision(&managed.postgres);
    let database = database.await.map_err(|error| of_database(&error))?;
    let objects = open_s3(profile, managed, entropy).await?;
    let bucket = objects.provision();
    let bucket = bucket.await.map_err(|error| of_objects(&error))?;
    let bus = open_kinesis(profile, managed, clock, entropy).await?;
    let streams = bus.provision().await.map_err(|error| {
        let detail = format!(
            "substrates.managed.kinesis: {:#}",
            anyhow::Error::from(error)
        );
        Refusal::new(Code::SubstrateUnavailable, detail)
    })?;
    Ok(Provisioned {
        streams,
        bucket,
        database,
    })
}

fn of_log(error: embedded::Error) -> anyhow::Error {
    match &error {
        embedded::Error::Altered { .. } => Refusal::new(Code::LogAltered, error.to_string()).into(),
        _ => anyhow::Error::from(error).context("opening the event log"),
    }
}

/// The migrations that the database lacks, in order; nothing is changed.
///
/// # Errors
/// A database that does not start or answer.
pub(crate) async fn pending_migrations(
    profile: &Profile,
    data_dir: &OwnedDataDir,
    entropy: &Arc<dyn Entropy>,
) -> anyhow::Result<Vec<String>> {
    let options = pool_options("fraudplat migrate", 1);
    if let Some(managed) = &profile.substrates.managed {
        let endpoint = managed.postgres.owner_endpoint();
        let endpoint = endpoint.map_err(|error| of_database(&error))?;
        return Ok(migrate::check(&Db::open(&endpoint, &options)?).await?);
    }
    let postgres = start_postgres(profile, data_dir, entropy).await?;
    let db = Db::open(&postgres.owner(), &options)?;
    let pending = migrate::check(&db).await;
    db.close();
    stop_postgres(postgres).await?;
    Ok(pending?)
}

/// # Errors
/// A server that does not stop.
pub(crate) async fn stop_postgres(postgres: PrivatePostgres) -> anyhow::Result<()> {
    postgres
        .stop()
        .await
        .context("stopping the private Postgres")
}

async fn start_postgres(
    profile: &Profile,
    data_dir: &OwnedDataDir,
    entropy: &Arc<dyn Entropy>,
) -> anyhow::Result<PrivatePostgres> {
    PrivatePostgres::start(data_dir, &postgres_options(profile, entropy))
        .await
        .context("starting the private Postgres")
}

async fn open_kinesis(
    profile: &Profile,
    managed: &Managed,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> anyhow::Result<KinesisBus> {
    let place = &managed.kinesis;
    let stream = |stream: &Stream| {
        let of_stream = profile.streams.of(*stream);
        let options = kinesis::StreamOptions {
            name: of_stream.name.clone(),
            shards: of_stream.shards,
            retention_hours: of_stream.retention_hours,
        };
        (*stream, options)
    };
    let options = kinesis::Options {
        endpoint_url: place.endpoint_url.clone(),
        region: place.region.clone(),
        ca_file: place.ca_file.clone(),
        connect_timeout_ms: place.connect_ms_max.get().into(),
        request_timeout_ms: place.request_ms_max.get().into(),
        reads_per_second_max: place.reads_per_second_max.get(),
        streams: Stream::ALL.iter().map(stream).collect(),
    };
    let (clock, entropy) = (Arc::clone(clock), Arc::clone(entropy));
    let opened = KinesisBus::open(options, &Credentials::Chain, clock, entropy);
    Ok(opened.await.map_err(|error| {
        let detail = format!(
            "substrates.managed.kinesis: {:#}",
            anyhow::Error::from(error)
        );
        Refusal::new(Code::ProfileInvalid, detail)
    })?)
}

async fn open_s3(
    profile: &Profile,
    managed: &Managed,
    entropy: &Arc<dyn Entropy>,
) -> anyhow::Result<S3Objects> {
    let place = &managed.s3;
    let options = s3::Options {
        endpoint_url: place.endpoint_url.clone(),
        region: place.region.clone(),
        ca_file: place.ca_file.clone(),
        path_style: place.path_style,
        lists_unsorted: place.lists_unsorted,
        encryption: place.encryption.clone(),
        ..s3::Options::new(&profile.substrates.bucket)
    };
    let opened = S3Objects::open(options, &Credentials::Chain, Arc::clone(entropy));
    Ok(opened.await.map_err(|error| of_objects(&error))?)
}

fn of_objects(error: &crate::substrate::objects::Error) -> Refusal {
    let detail = format!("substrates.managed.s3: {}", chain(error));
    Refusal::new(error.code(), detail)
}

fn of_database(error: &db::Error) -> Refusal {
    let detail = format!("substrates.managed.postgres: {}", chain(error));
    Refusal::new(error.code(), detail)
}

/// An error with its causes.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |it| it.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}

fn pool_options(application_name: &str, connections_max: usize) -> PoolOptions {
    PoolOptions {
        application_name: application_name.to_owned(),
        connections_max,
        ..PoolOptions::default()
    }
}

/// The private server's owner acts as the maintenance identity. Its proofs read whole days.
fn maintenance_options() -> PoolOptions {
    PoolOptions {
        statement_ms_max: 600_000,
        idle_in_transaction_ms_max: 60_000,
        acting_as: Some(db::MAINTENANCE),
        ..pool_options("fraudplat maintenance", 2)
    }
}

fn postgres_options(profile: &Profile, entropy: &Arc<dyn Entropy>) -> private::Options {
    let mut options = private::Options::new(Arc::clone(entropy));
    options.binaries_dir = profile.substrates.postgres_bin_dir.clone();
    options.search_path = profile::search_path();
    options.unpacked_root = Some(profile::user_cache_dir().join("postgres"));
    options
}

fn bus_options(profile: &Profile, clock: &Arc<dyn Clock>) -> embedded::Options {
    let stream_options = |stream: &Stream| {
        let options = profile.streams.of(*stream);
        let retention = Duration::from_secs(u64::from(options.retention_hours) * 3_600);
        embedded::StreamOptions {
            stream: *stream,
            shards: options.shards,
            retention: Some(retention),
        }
    };
    embedded::Options {
        streams: Stream::ALL.iter().map(stream_options).collect(),
        clock: Arc::clone(clock),
    }
}
