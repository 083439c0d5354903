//! The sections of a profile, as they stand in the file.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::contracts::attributes::Attributes;
use crate::domain::ids::TenantId;
use crate::domain::vocabulary::{Environment, Stream};

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
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Substrates {
    pub(crate) kind: SubstrateKind,
    pub(crate) postgres_bin_dir: Option<PathBuf>,
    pub(crate) connections_max: usize,
    pub(crate) bucket: String,
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
    pub(crate) snapshot_decisions: NonZeroU32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reconcile {
    /// When runs are balanced, as cron says it. Demanded where it must be; nothing runs it yet.
    #[serde(default)]
    pub(crate) schedule: Option<String>,
}
