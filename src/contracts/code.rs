//! Stable codes of what an operator or a producer can meet; each has a page in `docs/errors/`.

/// A closed list of codes with one sentence on what to do.
macro_rules! codes {
    ($($variant:ident = $code:literal => $advice:literal,)+) => {
        /// A stable error code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub enum Code {
            $(#[serde(rename = $code)] $variant,)+
        }

        impl Code {
            pub const ALL: &'static [Code] = &[$(Code::$variant,)+];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $code,)+ }
            }

            /// What to do about it, in one sentence.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self { $(Code::$variant => $advice,)+ }
            }
        }

        impl std::str::FromStr for Code {
            type Err = crate::domain::digest::ParseError;

            fn from_str(text: &str) -> Result<Code, Self::Err> {
                match text {
                    $($code => Ok(Code::$variant),)+
                    _ => Err(crate::domain::digest::ParseError {
                        found: text.chars().take(80).collect(),
                        expected: "an error code of docs/errors",
                    }),
                }
            }
        }
    };
}

codes! {
    // The request as a whole.
    BodyUnreadable = "BODY_UNREADABLE" => "Send one JSON object, a JSON array of objects, or one object a line (application/x-ndjson), in UTF-8.",
    BodyTooLarge = "BODY_TOO_LARGE" => "Split the request: the limits are in the detail.",
    EncodingUnsupported = "ENCODING_UNSUPPORTED" => "Send the body as it is, or compressed once, with a coding of the Accept-Encoding header.",
    RequestTimeout = "REQUEST_TIMEOUT" => "Send the whole body at once, or a smaller one; nothing of it was looked at.",
    QueryInvalid = "QUERY_INVALID" => "Correct the parameter named in the detail; docs/http.md lists those of each path.",
    MethodNotAllowed = "METHOD_NOT_ALLOWED" => "Use a method of the Allow header; docs/http.md lists those of each path.",
    CommandUnreadable = "COMMAND_UNREADABLE" => "Send {\"args\": [\"fraudplat\", …], \"cwd\": \"/\"} as application/json, as docs/http.md shows.",
    Overloaded = "OVERLOADED" => "Wait for the seconds in Retry-After and send the same request again; repeats are safe.",
    RateLimited = "RATE_LIMITED" => "Wait for the seconds in Retry-After and send the same request again, or ask the operator for a larger share.",
    Unauthenticated = "UNAUTHENTICATED" => "Send the key or token that the operator gave you as Authorization: Bearer, or show your certificate.",
    Forbidden = "FORBIDDEN" => "Ask the operator for a role that may do this; docs/authentication.md has the table.",
    HostRefused = "HOST_REFUSED" => "Ask for the address that the platform listens on, such as http://127.0.0.1:7070.",
    NotFound = "NOT_FOUND" => "Check the path and the id; ids are listed by the resource above.",
    Internal = "INTERNAL" => "Send the same request again; if it persists, the service log has the cause.",
    // One event, nothing stored.
    ItemUnparsable = "ITEM_UNPARSABLE" => "Make the item one JSON object that has every envelope field with the type in docs/contracts/envelope.json.",
    ItemTooLarge = "ITEM_TOO_LARGE" => "Send events of at most the limit in the detail.",
    DuplicateKey = "DUPLICATE_KEY" => "Send every key once: two values under one key have no single meaning.",
    NumberNotInteger = "NUMBER_NOT_INTEGER" => "Send amounts in minor units as integers, and decimals as strings.",
    RunUnknown = "RUN_UNKNOWN" => "Create the run first (fraudplat sr run), or correct platform_run_id.",
    // One event, quarantined.
    ClassUnknown = "CLASS_UNKNOWN" => "Use one of the event classes in docs/contracts.",
    SchemaVersionUnsupported = "SCHEMA_VERSION_UNSUPPORTED" => "Send a schema version that this release reads, or upgrade the gate first.",
    SchemaInvalid = "SCHEMA_INVALID" => "Correct the payload at the place named in the detail and send it again.",
    PinsMismatch = "PINS_MISMATCH" => "Copy the pins of the run as READY states them.",
    TsOutOfRange = "TS_OUT_OF_RANGE" => "Send events whose ts_utc lies within the run's range.",
    RunClosed = "RUN_CLOSED" => "The run has ended or was cancelled; start another.",
    PiiUnsupported = "PII_UNSUPPORTED" => "Leave the pii map out: this release cannot encrypt it and refuses to store it in clear.",
    PayloadHashMismatch = "PAYLOAD_HASH_MISMATCH" => "Another payload is already admitted under this event_id; give the new event an id of its own.",
    // One action intent, nothing stored.
    IntentInvalid = "INTENT_INVALID" => "Correct the intent at the place named in the detail; docs/actions.md has the form and how its id is made.",
    // Refusals of commands.
    ActionNotDead = "ACTION_NOT_DEAD" => "Look at it with fraudplat actions show; only what is DEAD waits for an operator.",
    ArchiveBehind = "ARCHIVE_BEHIND" => "Wait until the archive has passed the decision's basis, or drain the run.",
    ArchiveRequired = "ARCHIVE_REQUIRED" => "Switch the archive on in the profile; evidence is never read from the bus instead.",
    EvidenceMissing = "EVIDENCE_MISSING" => "Restore the named object or segment; nothing is guessed in its place.",
    ReplayBasisMismatch = "REPLAY_BASIS_MISMATCH" => "The archive and the evidence disagree; compare the named offset in both.",
    GraphRebuilding = "GRAPH_REBUILDING" => "Ask again when the rebuild is done; if it broke off, start it again: fraudplat graph rebuild --run R.",
    EvidenceDropped = "EVIDENCE_DROPPED" => "Retention dropped these days after proof; the proof names the objects that hold their rows.",
    RetentionRefused = "RETENTION_REFUSED" => "Name a day that has come; what is to stay longer or shorter is retention.evidence_days.",
    PostureRefused = "POSTURE_REFUSED" => "Give a reason, and a time to come or none; fraudplat decision posture show tells what is in force.",
    RunFactsMismatch = "RUN_FACTS_MISMATCH" => "The run's facts are not those READY names; start the run again.",
    DataDirBusy = "DATA_DIR_BUSY" => "Another process owns the data directory; stop it or give another --data-dir.",
    SharedSubstratesRequired = "SHARED_SUBSTRATES_REQUIRED" => "Run --role all on the embedded profile, or take a profile with shared substrates.",
    ProfileInvalid = "PROFILE_INVALID" => "Correct the profile at the place named.",
    AuthModeRefused = "AUTH_MODE_REFUSED" => "Set auth.mode to mtls or service_token: keys are for local_parity.",
    TlsRequired = "TLS_REQUIRED" => "Give http.tls a certificate and its key, or bind to a loopback address.",
    ReleaseMutable = "RELEASE_MUTABLE" => "Start an image by its digest, and give that digest as FRAUDPLAT_IMAGE_DIGEST.",
    ScheduleRequired = "SCHEDULE_REQUIRED" => "Set reconcile.schedule in the profile.",
    SecretUnreadable = "SECRET_UNREADABLE" => "Correct the named file; its form is in docs/authentication.md.",
    KeyRefused = "KEY_REFUSED" => "Correct what is named; fraudplat auth key list shows the keys there are.",
    BundleInvalid = "BUNDLE_INVALID" => "Correct the feature set or policy at the place named; fraudplat features check and policy check read it alone.",
    MappingInvalid = "MAPPING_INVALID" => "Correct the mapping or the row at the place named.",
    ScenarioInvalid = "SCENARIO_INVALID" => "Correct the scenario at the place named; docs/scenarios.md has every key.",
    Unbalanced = "UNBALANCED" => "The reconciliation names the checks that do not balance; each line says what is missing where.",
    ChainBroken = "CHAIN_BROKEN" => "The first altered record is named; compare it with its segment and anchor.",
    LogAltered = "LOG_ALTERED" => "Stop the platform and put the named file back from a copy of the log; docs/operating.md says what else there is.",
    ObjectsDenied = "OBJECTS_DENIED" => "Give this process credentials that may read, write and list the bucket; the store's own words name what it refused.",
    BucketMissing = "BUCKET_MISSING" => "Make the bucket with fraudplat provision, or correct its name in the profile.",
    DatabaseNotDurable = "DATABASE_NOT_DURABLE" => "Switch the named setting on for the server, the database and the role, and start again.",
    DatabaseUnfit = "DATABASE_UNFIT" => "Give the URL of a writable PostgreSQL server of a supported version and roles as docs/operating.md says.",
    DatabaseUntrusted = "DATABASE_UNTRUSTED" => "Name the certificate authority of the server in ca_file, and in the URL the host that its certificate names.",
    SubstrateUnavailable = "SUBSTRATE_UNAVAILABLE" => "Check that the named server is up and reachable; nothing was lost.",
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
