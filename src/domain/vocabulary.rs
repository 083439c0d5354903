//! The closed word lists. An unknown word is refused at every boundary (L8).

/// An enum whose variants are words on the wire, in columns and in counters alike.
macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::digest::ParseError;

            fn from_str(text: &str) -> Result<$name, Self::Err> {
                match text {
                    $($word => Ok($name::$variant),)+
                    _ => Err($crate::domain::digest::ParseError {
                        found: text.chars().take(80).collect(),
                        expected: concat!("one of", $(" ", $word),+),
                    }),
                }
            }
        }
    };
}
pub(crate) use vocabulary;

vocabulary!(Environment { LocalParity = "local_parity", Dev = "dev", Prod = "prod", });

vocabulary!(
    /// Selects the stream set.
    Mode { Fraud = "fraud", }
);

vocabulary!(SourceType { Human = "HUMAN", System = "SYSTEM", });

vocabulary!(
    /// What a producer may send.
    EventClass {
        ArrivalEvent = "arrival_event",
        ArrivalEntities = "arrival_entities",
        FlowAnchor = "flow_anchor",
        Traffic = "traffic",
    }
);

vocabulary!(
    /// The streams by their logical names, which evidence uses; a profile maps them to physical ones.
    Stream {
        Control = "fp.bus.control.v1",
        ArrivalEvents = "fp.bus.context.arrival_events.v1",
        ArrivalEntities = "fp.bus.context.arrival_entities.v1",
        FlowAnchor = "fp.bus.context.flow_anchor.fraud.v1",
        Traffic = "fp.bus.traffic.fraud.v1",
        CaseTriggers = "fp.bus.case_triggers.v1",
        Labels = "fp.bus.labels.v1",
    }
);

vocabulary!(PublishState {
    PublishInFlight = "PUBLISH_IN_FLIGHT",
    Admitted = "ADMITTED",
    PublishAmbiguous = "PUBLISH_AMBIGUOUS",
});

vocabulary!(
    /// The verdict on one event of a request.
    IngestResult {
        Admitted = "ADMITTED",
        Duplicate = "DUPLICATE",
        Quarantined = "QUARANTINED",
        /// Not known yet: the producer asks again.
        PublishInFlight = "PUBLISH_IN_FLIGHT",
        /// Unparsable or of an unknown run: nothing was stored.
        Rejected = "REJECTED",
    }
);

vocabulary!(
    /// Ordered from mild to strict.
    Outcome { Approve = "APPROVE", StepUp = "STEP_UP", Review = "REVIEW", Decline = "DECLINE", }
);

vocabulary!(Posture {
    Normal = "NORMAL",
    Degraded1 = "DEGRADED_1",
    Degraded2 = "DEGRADED_2",
    FailClosed = "FAIL_CLOSED",
});

vocabulary!(
    /// What a decision may draw on; a posture switches some of it off.
    Capability {
        /// Windows over payments and labels, and what is derived from them.
        Features = "features",
        /// Features of the entity graph.
        Graph = "graph",
        Model = "model",
        /// The rules of the bundle.
        Policy = "policy",
        /// Bundles that are scored and never acted on.
        Shadow = "shadow",
    }
);

vocabulary!(
    /// Why a posture stands.
    PostureReason {
        Calm = "CALM",
        /// Too many decisions lack a part of their frame.
        MissingContext = "MISSING_CONTEXT",
        /// Too many reads or commits of the store failed.
        StoreErrors = "STORE_ERRORS",
        /// The decision group is behind by its own fault.
        OwnLag = "OWN_LAG",
        /// Another bundle decides than the one that is active.
        BundleFallback = "BUNDLE_FALLBACK",
        /// No bundle may decide.
        BundleNone = "BUNDLE_NONE",
        /// The active bundle decides again; the calm time is not over.
        BundleRestored = "BUNDLE_RESTORED",
        /// An operator said so.
        Forced = "FORCED",
    }
);

vocabulary!(CaseTriggerType {
    DecisionEscalation = "DECISION_ESCALATION",
    ActionFailure = "ACTION_FAILURE",
    Anomaly = "ANOMALY",
    ExternalSignal = "EXTERNAL_SIGNAL",
    ManualAssertion = "MANUAL_ASSERTION",
});

vocabulary!(TimelineEventType {
    CaseTriggered = "CASE_TRIGGERED",
    EvidenceAttached = "EVIDENCE_ATTACHED",
    ActionIntentRequested = "ACTION_INTENT_REQUESTED",
    ActionOutcomeAttached = "ACTION_OUTCOME_ATTACHED",
    LabelPending = "LABEL_PENDING",
    LabelAccepted = "LABEL_ACCEPTED",
    LabelRejected = "LABEL_REJECTED",
    InvestigatorAssertion = "INVESTIGATOR_ASSERTION",
});

vocabulary!(LabelType {
    FraudDisposition = "fraud_disposition",
    ChargebackStatus = "chargeback_status",
    AccountTakeover = "account_takeover",
});

impl LabelType {
    /// The values that a label of this type may have.
    #[must_use]
    pub const fn values(self) -> &'static [&'static str] {
        match self {
            LabelType::FraudDisposition => &["CONFIRMED_FRAUD", "CONFIRMED_LEGIT", "INCONCLUSIVE"],
            LabelType::ChargebackStatus => &["NONE", "OPENED", "REPRESENTED", "WON", "LOST"],
            LabelType::AccountTakeover => &["CONFIRMED", "RULED_OUT", "INCONCLUSIVE"],
        }
    }
}

vocabulary!(RefType {
    DlaAuditRecord = "DLA_AUDIT_RECORD",
    Decision = "DECISION",
    ActionOutcome = "ACTION_OUTCOME",
    EbOriginOffset = "EB_ORIGIN_OFFSET",
    CaseEvent = "CASE_EVENT",
    ExternalRef = "EXTERNAL_REF",
});

vocabulary!(
    /// Governance facts, each with one emitter.
    FactType {
        RunReadySeen = "RUN_READY_SEEN",
        RunStarted = "RUN_STARTED",
        RunEnded = "RUN_ENDED",
        RunCancelled = "RUN_CANCELLED",
        BundlePublished = "BUNDLE_PUBLISHED",
        BundleApproved = "BUNDLE_APPROVED",
        BundlePromotedActive = "BUNDLE_PROMOTED_ACTIVE",
        BundleRolledBack = "BUNDLE_ROLLED_BACK",
        BundleRetired = "BUNDLE_RETIRED",
        LabelSubmitted = "LABEL_SUBMITTED",
        LabelAccepted = "LABEL_ACCEPTED",
        LabelRejected = "LABEL_REJECTED",
        PolicyRevChanged = "POLICY_REV_CHANGED",
        SecretRotated = "SECRET_ROTATED",
        EvidenceRefResolved = "EVIDENCE_REF_RESOLVED",
        PartitionsDropped = "PARTITIONS_DROPPED",
        PostureChanged = "POSTURE_CHANGED",
        PostureForced = "POSTURE_FORCED",
        PostureReleased = "POSTURE_RELEASED",
        // Anomalies.
        PayloadHashMismatch = "PAYLOAD_HASH_MISMATCH",
        PublishAmbiguous = "PUBLISH_AMBIGUOUS",
        SchemaInvalid = "SCHEMA_INVALID",
        FlowbindingConflict = "FLOWBINDING_CONFLICT",
        ReplayBasisMismatch = "REPLAY_BASIS_MISMATCH",
        SchemaMismatch = "SCHEMA_MISMATCH",
        IncompatibleBundle = "INCOMPATIBLE_BUNDLE",
        IncompatibleBundleResolution = "INCOMPATIBLE_BUNDLE_RESOLUTION",
        LabelAssertionAnomaly = "LABEL_ASSERTION_ANOMALY",
        RefAccessDenied = "REF_ACCESS_DENIED",
        CorridorDenied = "CORRIDOR_DENIED",
    }
);

vocabulary!(Channel {
    Pos = "pos",
    Ecom = "ecom",
    Moto = "moto",
    Atm = "atm",
    Transfer = "transfer",
});

vocabulary!(ArrivalKind {
    Payment = "payment",
    /// An entity link without a payment: no anchor, no traffic.
    Link = "link",
});

impl EventClass {
    /// The stream that carries events of this class.
    #[must_use]
    pub const fn stream(self) -> Stream {
        match self {
            EventClass::ArrivalEvent => Stream::ArrivalEvents,
            EventClass::ArrivalEntities => Stream::ArrivalEntities,
            EventClass::FlowAnchor => Stream::FlowAnchor,
            EventClass::Traffic => Stream::Traffic,
        }
    }

    /// The schema version that this release writes and reads.
    #[must_use]
    pub const fn schema_version(self) -> i64 {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip_and_unknown_words_are_refused() {
        for word in Stream::ALL {
            assert_eq!(word.as_str().parse(), Ok(*word));
        }
        assert!("approve".parse::<Outcome>().is_err());
        assert!(Outcome::Decline > Outcome::Review && Outcome::StepUp > Outcome::Approve);
    }
}
