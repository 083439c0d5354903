//! The sections of a profile, as they stand in the file.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::contracts::action_intent::IntentType;
use crate::contracts::attributes::Attributes;
use crate::domain::ids::TenantId;
use crate::domain::vocabulary::{Environment, Stream};
use crate::rtdl::actions::LOG;
use crate::rtdl::decision::Memory;
use crate::rtdl::decision::ladder::Thresholds;
use crate::substrate::db::managed::ManagedOptions;
use crate::substrate::objects::s3::Encryption;
use crate::substrate::secret::Secret;
use crate::substrate::webhook;

/// What enters `semantic_digest` (L9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Semantics {
    pub(crate) tenant_id: Option<TenantId>,
    pub(crate) dedupe_horizon_days: u32,
    pub(crate) future_tolerance_ms: u64,
    pub(crate) join_wait_ms: u64,
    pub(crate) late_bound_ms: u64,
    pub(crate) bundle_slot: String,
    /// What payments may carry beside the fields of the contract; null: anything, and no part of the
    /// digest, as before there were declarations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attributes: Option<Attributes>,
    /// When decisions degrade and when they come back; null: as built in, and no part of the digest, as
    /// before there was a ladder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) posture: Option<Thresholds>,
    /// Slots whose bundles decide beside the one that acts and never act; null: as built in, and no part of
    /// the digest, as before there were shadows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shadow_slots: Option<BTreeSet<String>>,
}

/// The slots that are declared where a profile says nothing of them.
const SHADOW_SLOTS: [&str; 2] = ["shadow_1", "shadow_2"];
/// What the names of slots that never act begin with.
const SHADOW: &str = "shadow_";
/// A body holds the name.
const SLOT_CHARS_MAX: usize = 64;

impl Semantics {
    fn shadow_slots(&self) -> BTreeSet<String> {
        let built_in = || SHADOW_SLOTS.map(str::to_owned).into();
        self.shadow_slots.clone().unwrap_or_else(built_in)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Substrates {
    pub(crate) kind: SubstrateKind,
    pub(crate) postgres_bin_dir: Option<PathBuf>,
    pub(crate) connections_max: usize,
    pub(crate) bucket: String,
    /// Of kind `managed`.
    #[serde(default)]
    pub(crate) managed: Option<Managed>,
}

/// Servers that many processes share.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Managed {
    pub(crate) kinesis: KinesisPlace,
    pub(crate) s3: S3Place,
    pub(crate) postgres: ManagedOptions,
}

/// Where the streams are; their names, shards and retention stand in `streams`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KinesisPlace {
    /// Of a server that is not AWS's own; null: the region's.
    #[serde(default)]
    pub(crate) endpoint_url: Option<String>,
    #[serde(default)]
    pub(crate) region: Option<String>,
    #[serde(default)]
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) connect_ms_max: NonZeroU32,
    /// A put whose answer takes longer is ambiguous.
    pub(crate) request_ms_max: NonZeroU32,
    /// Of one process and shard; AWS allows five to all together.
    pub(crate) reads_per_second_max: NonZeroU32,
}

/// Where the bucket is; its name is `bucket`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct S3Place {
    #[serde(default)]
    pub(crate) endpoint_url: Option<String>,
    #[serde(default)]
    pub(crate) region: Option<String>,
    #[serde(default)]
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) path_style: bool,
    /// The server lists by folder, as SeaweedFS does.
    pub(crate) lists_unsorted: bool,
    pub(crate) encryption: Encryption,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SubstrateKind {
    Embedded,
    Managed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Streams {
    pub(crate) control: StreamOptions,
    pub(crate) arrival_events: StreamOptions,
    pub(crate) arrival_entities: StreamOptions,
    pub(crate) flow_anchor: StreamOptions,
    pub(crate) traffic: StreamOptions,
    pub(crate) case_triggers: StreamOptions,
    pub(crate) labels: StreamOptions,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamOptions {
    pub(crate) name: String,
    pub(crate) shards: u32,
    pub(crate) retention_hours: u32,
}

impl Streams {
    #[must_use]
    pub(crate) const fn of(&self, stream: Stream) -> &StreamOptions {
        match stream {
            Stream::Control => &self.control,
            Stream::ArrivalEvents => &self.arrival_events,
            Stream::ArrivalEntities => &self.arrival_entities,
            Stream::FlowAnchor => &self.flow_anchor,
            Stream::Traffic => &self.traffic,
            Stream::CaseTriggers => &self.case_triggers,
            Stream::Labels => &self.labels,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gate {
    /// Names a gate across restarts; no two processes share it.
    pub(crate) id: String,
    /// Where the streamer of another process reaches a gate, `host:port`; null: in its own process.
    #[serde(default)]
    pub(crate) addr: Option<String>,
    /// The key of card tokens, 32 bytes; null: made in the data directory, for its gate alone.
    #[serde(default)]
    pub(crate) token_key_file: Option<PathBuf>,
    /// Of one producer; null: no limit.
    pub(crate) producer_events_per_s: Option<NonZeroU32>,
    /// Requests are refused while the oldest one in hand waits longer.
    pub(crate) backlog_ms_max: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) bind: std::net::SocketAddr,
    /// How long a client may take to send the head of a request, and then its body.
    pub(crate) client_ms_max: NonZeroU32,
    #[serde(default)]
    pub(crate) tls: Option<Tls>,
}

/// The port under TLS, and how this executable's own clients know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) cert_file: PathBuf,
    pub(crate) key_file: PathBuf,
    /// Who signed the certificate.
    pub(crate) ca_file: PathBuf,
    /// A name in the certificate.
    pub(crate) server_name: String,
}

/// How callers prove who they are. Files by their paths: a profile holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Auth {
    pub(crate) mode: AuthMode,
    /// Of `api_key`: hashes of keys; null: `auth/keys.yaml` in the data directory.
    #[serde(default)]
    pub(crate) keys_file: Option<PathBuf>,
    #[serde(default)]
    pub(crate) service_token: Option<ServiceToken>,
    #[serde(default)]
    pub(crate) mtls: Option<Mtls>,
    /// What this executable's own clients show; null: the keys of the data directory.
    #[serde(default)]
    pub(crate) credential: Option<Credentials>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuthMode {
    ApiKey,
    ServiceToken,
    Mtls,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceToken {
    pub(crate) jwks_file: PathBuf,
    pub(crate) callers_file: PathBuf,
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) skew_s: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mtls {
    pub(crate) client_ca_file: PathBuf,
    pub(crate) callers_file: PathBuf,
}

/// Either a key or token, or a certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    #[serde(default)]
    pub(crate) bearer_file: Option<PathBuf>,
    #[serde(default)]
    pub(crate) cert_file: Option<PathBuf>,
    #[serde(default)]
    pub(crate) key_file: Option<PathBuf>,
}

impl Credentials {
    pub(super) const fn is_one(&self) -> bool {
        matches!(
            (&self.bearer_file, &self.cert_file, &self.key_file),
            (Some(_), None, None) | (None, Some(_), Some(_))
        )
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Archive {
    pub(crate) enabled: bool,
}

/// How long things are kept: the envelope, not the meaning (L9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retention {
    pub(crate) evidence_days: u32,
    pub(crate) dedupe_grace_days: NonZeroU32,
    pub(crate) interval_minutes: NonZeroU32,
}

impl Retention {
    /// The longest that an environment keeps evidence in its database: short, medium, long.
    pub(super) const fn evidence_days_max(environment: Environment) -> u32 {
        match environment {
            Environment::LocalParity => 92,
            Environment::Dev => 366,
            Environment::Prod => 3_653,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decision {
    pub(crate) bundle_dir: Option<PathBuf>,
    /// A folder with a `registry.yaml`, instead of one bundle.
    pub(crate) registry_dir: Option<PathBuf>,
    /// The folders of the bundles in the shadow slots, by slot; pointers, as `bundle_dir`.
    pub(crate) shadows: BTreeMap<String, PathBuf>,
    pub(crate) snapshot_decisions: NonZeroU32,
    pub(crate) feature_memory_mib: NonZeroU32,
}

impl Decision {
    /// How much of a run's features is kept in memory; the rest lies in the data directory.
    pub(crate) fn memory(&self, data_dir: &Path) -> Memory {
        let mebibytes = usize::try_from(self.feature_memory_mib.get()).unwrap_or(usize::MAX);
        Memory {
            keys_bytes_max: mebibytes.saturating_mul(1 << 20),
            scratch_dir: data_dir.join("scratch"),
        }
    }
}

impl Decision {
    pub(super) fn check(&self, semantics: &Semantics) -> Result<(), &'static str> {
        let declared = semantics.shadow_slots();
        let is_name = |it: &String| {
            let rest = it.strip_prefix(SHADOW);
            let is_word = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_';
            it.len() <= SLOT_CHARS_MAX
                && rest.is_some_and(|it| !it.is_empty() && it.chars().all(is_word))
        };
        if !declared.iter().all(is_name) {
            return Err(
                "semantics.shadow_slots: a name is shadow_, then lowercase letters, digits and _, 64 in all",
            );
        }
        match self.shadows.keys().all(|it| declared.contains(it)) {
            true => Ok(()),
            false => Err(
                "decision.shadows: a slot that semantics.shadow_slots does not declare (shadow_1 and shadow_2 \
                 where it says nothing)",
            ),
        }
    }
}

/// How patiently actions are carried out, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Actions {
    /// So many attempts may fail; then the action is a dead letter.
    pub(crate) attempts_max: NonZeroU32,
    pub(crate) backoff_ms_first: NonZeroU32,
    pub(crate) backoff_ms_max: NonZeroU32,
    /// How long an endpoint may take to answer.
    pub(crate) call_ms_max: NonZeroU32,
    /// Under way at once, at one endpoint.
    pub(crate) calls_max: NonZeroU32,
    /// So many calls in a row that find an endpoint ill open its breaker.
    pub(crate) breaker_failures_max: NonZeroU32,
    pub(crate) breaker_open_ms: NonZeroU32,
    /// By name; an action whose type none takes is only logged.
    pub(crate) endpoints: BTreeMap<String, Endpoint>,
}

/// A receiver of webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Endpoint {
    /// `https`, or a loopback address.
    pub(crate) url: String,
    pub(crate) intent_types: BTreeSet<IntentType>,
    /// A secret a line, at most two: the one in use and the one before.
    #[serde(default)]
    pub(crate) secret_file: Option<PathBuf>,
    /// Best from the environment.
    #[serde(default)]
    pub(crate) secret: Option<Secret>,
    /// Who signed its certificate; null: whom this machine trusts.
    #[serde(default)]
    pub(crate) ca_file: Option<PathBuf>,
}

impl Actions {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let mut taken = BTreeSet::new();
        for (name, endpoint) in &self.endpoints {
            // As a type's name; `log` is the executor of what nobody takes.
            if name == LOG || name.parse::<IntentType>().is_err() {
                return Err(
                    "actions.endpoints: a name is lowercase letters, digits and _, and not `log`",
                );
            }
            if webhook::check_url(&endpoint.url).is_err() {
                return Err(
                    "actions.endpoints: a url is https, or of a loopback address, without a user or password",
                );
            }
            if endpoint.secret.is_some() == endpoint.secret_file.is_some() {
                return Err("actions.endpoints: each has a secret or a secret_file");
            }
            if endpoint.intent_types.is_empty() {
                return Err("actions.endpoints: each takes at least one intent type");
            }
            if !endpoint.intent_types.iter().all(|it| taken.insert(it)) {
                return Err("actions.endpoints: an intent type goes to one endpoint");
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reconcile {
    /// When runs are balanced, as cron says it. Demanded where it must be; nothing runs it yet.
    #[serde(default)]
    pub(crate) schedule: Option<String>,
}
