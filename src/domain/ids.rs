//! Identities. An id is a type, and a derived id has one maker (L2): the formulas are those of
//! `docs/contracts/identities.md`, and `tests/golden/identities.json` holds vectors that an
//! independent program computes too.

use std::fmt;
use std::str::FromStr;

use crate::domain::digest::{Digest, ParseError, Tagged};
use crate::domain::keys::{CaseSubject, LabelSubject};
use crate::domain::vocabulary::{CaseTriggerType, EventClass, LabelType, TimelineEventType};

/// Serde and JSON Schema for a type whose text is its wire form.
macro_rules! text_serde {
    ($name:ident, $description:expr, $pattern:expr) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "description": $description,
                    "pattern": $pattern,
                })
            }
        }
    };
}
pub(crate) use text_serde;

/// An id that is a digest with a prefix.
macro_rules! digest_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Digest);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            /// The 32 bytes that key a table.
            #[must_use]
            pub const fn digest(&self) -> &Digest {
                &self.0
            }

            /// Reads back a database column; ids are made by their `of`.
            #[must_use]
            pub const fn from_digest(digest: Digest) -> $name {
                $name(digest)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<$name, ParseError> {
                let refused = || ParseError {
                    found: text.chars().take(80).collect(),
                    expected: concat!("an id of the form ", $prefix, "<64 lowercase hex digits>"),
                };
                let digits = text.strip_prefix($prefix).ok_or_else(refused)?;
                Ok($name(digits.parse().map_err(|_| refused())?))
            }
        }

        text_serde!($name, concat!($prefix, "<64 lowercase hex digits>"), concat!("^", $prefix, "[0-9a-f]{64}$"));
    };
}

/// An id that someone else chose: printable ASCII without spaces, 1..=128 bytes.
macro_rules! given_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<$name, ParseError> {
                let legal = (1..=128).contains(&text.len())
                    && text.bytes().all(|byte| byte.is_ascii_graphic());
                if !legal {
                    return Err(ParseError {
                        found: text.chars().take(80).collect(),
                        expected: "1 to 128 printable ASCII characters without spaces",
                    });
                }
                Ok($name(text.into()))
            }
        }

        text_serde!($name, "1 to 128 printable ASCII characters", "^[!-~]{1,128}$");
    };
}

digest_id!(
    /// What a world is made of: generator or mapping, scenario, seed, files, selection.
    ManifestFingerprint, ""
);
digest_id!(
    /// One scenario over one world.
    ScenarioRunId, "sr_"
);
digest_id!(
    /// One run of one world under one semantics; release, speed and time never enter.
    PlatformRunId, "run_"
);
digest_id!(
    /// The flow of a world's payment.
    FlowId, "flow_"
);
digest_id!(
    /// The decision on one event of one run: known before it is made.
    DecisionId, "dec_"
);
digest_id!(ShadowScoreId, "shd_");
digest_id!(
    /// A change of a list: the nth of its entity.
    ListEntryId, "lst_"
);
digest_id!(CaseId, "case_");
digest_id!(CaseTriggerId, "trg_");
digest_id!(CaseTimelineEventId, "cte_");
digest_id!(ActionIntentId, "act_");
digest_id!(
    /// A governance fact, by its type and natural key.
    FactId, "fact_"
);
given_id!(
    /// The producer's id of an event; unique within its run and class.
    EventId
);
given_id!(
    /// Who runs the platform for whom.
    TenantId
);
given_id!(
    /// Who did it (L10): a person, a role, a service.
    ActorId
);
given_id!(
    /// A label assertion, as given or derived from its natural key.
    LabelAssertionId
);

impl ScenarioRunId {
    #[must_use]
    pub fn of(world: &ManifestFingerprint, scenario: &str) -> ScenarioRunId {
        ScenarioRunId(
            Tagged::new("scenario_run")
                .display(world)
                .text(scenario)
                .digest(),
        )
    }
}

impl PlatformRunId {
    #[must_use]
    pub fn of(
        world: &ManifestFingerprint,
        semantic_digest: &Digest,
        tenant: Option<&TenantId>,
        label: &str,
    ) -> PlatformRunId {
        let tagged = Tagged::new("platform_run")
            .display(world)
            .display(semantic_digest);
        PlatformRunId(
            tagged
                .opt_text(tenant.map(TenantId::as_str))
                .text(label)
                .digest(),
        )
    }
}

impl FlowId {
    #[must_use]
    pub fn of(world: &ManifestFingerprint, merchant_id: &str, arrival_seq: i64) -> FlowId {
        FlowId(
            Tagged::new("flow")
                .display(world)
                .text(merchant_id)
                .int(arrival_seq)
                .digest(),
        )
    }
}

impl DecisionId {
    #[must_use]
    pub fn of(run: &PlatformRunId, class: EventClass, event: &EventId) -> DecisionId {
        DecisionId(
            Tagged::new("decision")
                .display(run)
                .display(class)
                .display(event)
                .digest(),
        )
    }
}

impl ShadowScoreId {
    #[must_use]
    pub fn of(decision: &DecisionId, bundle_slot: &str) -> ShadowScoreId {
        ShadowScoreId(
            Tagged::new("shadow_score")
                .display(decision)
                .text(bundle_slot)
                .digest(),
        )
    }
}

impl ListEntryId {
    /// `nth` counts the changes of this entity on this list from 1.
    #[must_use]
    pub fn of(list: &str, entity: &str, value: &str, nth: i64) -> ListEntryId {
        let tagged = Tagged::new("list_entry").text(list).text(entity);
        ListEntryId(tagged.text(value).int(nth).digest())
    }
}

impl CaseId {
    /// A function of the subject alone: no two cases exist for one event, and none are merged.
    #[must_use]
    pub fn of(subject: &CaseSubject) -> CaseId {
        let tagged = Tagged::new("case").display(subject.platform_run_id);
        CaseId(
            tagged
                .display(subject.event_class)
                .display(&subject.event_id)
                .digest(),
        )
    }
}

impl CaseTriggerId {
    #[must_use]
    pub fn of(case: &CaseId, trigger: CaseTriggerType, source_ref_id: &str) -> CaseTriggerId {
        let tagged = Tagged::new("case_trigger").display(case).display(trigger);
        CaseTriggerId(tagged.text(source_ref_id).digest())
    }
}

impl CaseTimelineEventId {
    #[must_use]
    pub fn of(case: &CaseId, kind: TimelineEventType, source_ref_id: &str) -> CaseTimelineEventId {
        let tagged = Tagged::new("case_timeline_event")
            .display(case)
            .display(kind);
        CaseTimelineEventId(tagged.text(source_ref_id).digest())
    }
}

impl ActionIntentId {
    /// `parent` is the case or the decision that asks, in its wire form.
    #[must_use]
    pub fn of(
        parent: &str,
        source_case_event_id: Option<&CaseTimelineEventId>,
        intent_type: &str,
        subject_key: &str,
    ) -> ActionIntentId {
        let source = source_case_event_id.map(ToString::to_string);
        let tagged = Tagged::new("action_intent")
            .text(parent)
            .opt_text(source.as_deref());
        ActionIntentId(tagged.text(intent_type).text(subject_key).digest())
    }
}

impl FactId {
    /// `natural_key` are the values that make a repeat of the fact the same fact.
    #[must_use]
    pub fn of(fact_type: &str, natural_key: &[&str]) -> FactId {
        let tagged = Tagged::new("fact").text(fact_type);
        FactId(
            natural_key
                .iter()
                .fold(tagged, |tagged, part| tagged.text(part))
                .digest(),
        )
    }
}

impl LabelAssertionId {
    /// For an assertion that came without an id.
    #[must_use]
    pub fn of(
        subject: &LabelSubject,
        label_type: LabelType,
        source: &str,
        source_ref_id: &str,
    ) -> LabelAssertionId {
        let tagged = Tagged::new("label_assertion").display(subject.platform_run_id);
        let tagged = tagged.display(&subject.event_id).display(label_type);
        let digest = tagged.text(source).text(source_ref_id).digest();
        LabelAssertionId(format!("lab_{digest}").into())
    }
}

impl ManifestFingerprint {
    /// The world of a live run, which has no files and no end. It shares the tag of a world's
    /// fingerprint; the two differ in the number of fields, so they never meet.
    #[must_use]
    pub fn of_live(tenant: Option<&TenantId>, name: &str) -> ManifestFingerprint {
        let tagged = Tagged::new("manifest").text("live");
        let tagged = tagged.opt_text(tenant.map(TenantId::as_str));
        ManifestFingerprint(tagged.text(name).digest())
    }

    /// The world of a data set: the mapping's digest, scenario digest and seed where there are
    /// any, each file with its BLAKE3, and the selection in its text form. Files stand in the
    /// order and under the names that the mapping gives them, never under a machine's paths.
    #[must_use]
    pub fn of_world(
        generator_or_mapping: &str,
        scenario_digest: Option<&Digest>,
        seed: Option<i64>,
        files: &[(String, Digest)],
        selection: &str,
    ) -> ManifestFingerprint {
        let mut listed = crate::domain::canonical::Canon::new();
        listed.array(files.len());
        for (name, digest) in files {
            listed.array(2).text(name).text(&digest.to_string());
        }
        let mut scenario = crate::domain::canonical::Canon::new();
        scenario.opt_text(scenario_digest.map(ToString::to_string).as_deref());
        let mut seeded = crate::domain::canonical::Canon::new();
        seeded.opt_int(seed);
        let tagged = Tagged::new("manifest")
            .text(generator_or_mapping)
            .raw(&scenario);
        ManifestFingerprint(tagged.raw(&seeded).raw(&listed).text(selection).digest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_and_keep_their_prefix() {
        let world = ManifestFingerprint::of_live(None, "shop");
        let run = PlatformRunId::of(&world, &Digest::of_bytes(b"semantics"), None, "");
        assert!(run.to_string().starts_with("run_"));
        assert_eq!(run.to_string().parse(), Ok(run));
        assert!(run.to_string().parse::<ScenarioRunId>().is_err());
        assert_eq!(serde_json::to_string(&run).unwrap(), format!("\"{run}\""));
    }

    #[test]
    fn an_event_id_is_printable_and_short() {
        assert!("handbook-v1:17".parse::<EventId>().is_ok());
        for text in ["", "a b", "é", "tab\t", &"x".repeat(129)] {
            assert!(text.parse::<EventId>().is_err(), "{text:?}");
        }
    }
}
