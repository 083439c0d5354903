//! Why a decision is what it is, for people: its inputs by reference, every feature with its definition, every rule
//! with the values that it met, the bundle, the posture, its place in the chain.
//!
//! What is no part of the log (the bundle, the event's own fields) is shown as far as it is there, and a note says
//! what is not.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;

use crate::contracts::bundle::Bundle;
use crate::contracts::decision::{InputPart, InputRef, JoinState, RuleResult, Value};
use crate::contracts::feature_set::FeatureSet;
use crate::contracts::policy::{Policy, Rule};
use crate::domain::digest::Digest;
use crate::domain::ids::DecisionId;
use crate::domain::vocabulary::Posture;
use crate::rtdl::audit::http::{DecisionView, whole};
use crate::rtdl::audit::{Error, operands};
use crate::runtime::archive::{ArchiveReader, Folder};
use crate::runtime::ground::Ground;

/// The reasons of a decision, for people.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Explanation {
    pub decision_id: DecisionId,
    pub outcome: String,
    pub summary: String,
    /// The rules that fired, and those that lacked an operand.
    pub fired: Vec<String>,
    pub missing: Vec<String>,
    pub reasons: Vec<Reason>,
    pub rule_score: i64,
    /// Of a model, and what each of its inputs added; null where none took part.
    pub score: Json,
    pub contributions: Json,
    pub inputs: Vec<Input>,
    /// In order of the feature set.
    pub features: Vec<Feature>,
    /// Every rule that was tried, in order of the policy.
    pub rules: Vec<RuleTried>,
    pub bundle: BundleNamed,
    pub posture: PostureOf,
    /// What could not be shown, and why.
    pub notes: Vec<String>,
    /// The decision itself, with its place in the chain.
    pub decision: DecisionView,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Reason {
    pub code: String,
    /// In words: of the rule that gave it, or of the degradation.
    pub text: String,
}

/// An input, by reference: the archive holds what it says.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Input {
    pub part: InputPart,
    pub state: JoinState,
    #[serde(flatten)]
    pub reference: Option<InputRef>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Feature {
    pub name: String,
    pub value: Value,
    /// How it is computed, in words.
    pub what: String,
    /// As the feature set says it; null where the bundle is not there.
    pub definition: Json,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct RuleTried {
    pub rule_id: String,
    pub result: RuleResult,
    /// The operand that was missing or passed its range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operand: Option<String>,
    /// What the expression names, with the values that it met.
    pub operands: BTreeMap<String, Json>,
    /// As the policy says it; absent where the bundle is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct BundleNamed {
    pub slot: String,
    /// Absent where the bundle is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub bundle_digest: Digest,
    pub feature_set_digest: Digest,
    pub policy_rev: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct PostureOf {
    pub posture: Posture,
    pub reason: String,
    pub capabilities: Vec<String>,
}

/// Explains one decision.
///
/// # Errors
/// Those of reading it; what else is missing becomes a note.
pub async fn explain(ground: &Ground, id: DecisionId) -> Result<Explanation, Error> {
    let decision = whole(ground, id).await?;
    let mut notes = Vec::new();
    let bundle = match bundle(ground, &decision.body.bundle_digest).await {
        Ok(sources) => Some(sources),
        Err(why) => {
            notes.push(why);
            None
        }
    };
    let event = match event(ground, &decision).await {
        Ok(event) => Some(event),
        Err(why) => {
            notes.push(format!("fields of the event are not shown: {why}"));
            None
        }
    };
    Ok(explanation(
        decision,
        bundle.as_ref(),
        event.as_ref(),
        notes,
    ))
}

/// A bundle's texts, read.
struct Sources {
    name: String,
    features: FeatureSet,
    policy: Policy,
}

async fn bundle(ground: &Ground, digest: &Digest) -> Result<Sources, String> {
    let key = format!("mpr/bundles/{digest}.json");
    let missing = |why: &str| format!("definitions are not shown: bundle `{key}` {why}");
    let key = key.parse().map_err(|_| missing("has no legal key"))?;
    let stored = ground.objects.get(&key).await;
    let stored = stored.map_err(|cause| missing(&format!("was not read: {cause}")))?;
    let stored = stored.ok_or_else(|| missing("is not in the object store"))?;
    let altered = || missing("is not what its name says");
    let bundle: Bundle = serde_json::from_slice(&stored).map_err(|_| altered())?;
    if bundle.digest() != *digest {
        return Err(altered());
    }
    Ok(Sources {
        name: bundle.name,
        features: serde_saphyr::from_str(&bundle.feature_set).map_err(|_| altered())?,
        policy: serde_saphyr::from_str(&bundle.policy).map_err(|_| altered())?,
    })
}

/// The envelope of the event, from the archive, if it is what the evidence names.
async fn event(ground: &Ground, decision: &DecisionView) -> Result<Json, String> {
    let evidence = &decision.evidence;
    let input = evidence.inputs.get(&InputPart::Traffic);
    let input = input.ok_or("the evidence names no traffic event")?;
    let reader = ArchiveReader::new(ground.db.clone(), ground.objects.clone());
    let folder = Folder::Run(decision.body.pins.platform_run_id);
    let offsets = [input.origin_offset.clone()];
    let found = reader.fetch(folder, &offsets).await;
    let mut found = found.map_err(|error| error.to_string())?;
    let record = found.remove(&input.origin_offset);
    let record = record.ok_or("the archive does not hold it")?;
    let event: Json = serde_json::from_slice(&record.data).map_err(|error| error.to_string())?;
    match event["payload_hash"] == input.payload_hash.to_string() {
        true => Ok(event["envelope"].clone()),
        false => Err("the archived record has another payload hash".to_owned()),
    }
}

fn explanation(
    decision: DecisionView,
    bundle: Option<&Sources>,
    event: Option<&Json>,
    notes: Vec<String>,
) -> Explanation {
    let (body, evidence) = (&decision.body, &decision.evidence);
    let with = |result: RuleResult| {
        let rules = body.trace.iter().filter(move |rule| rule.result == result);
        rules.map(|rule| rule.rule_id.clone()).collect::<Vec<_>>()
    };
    let fired = with(RuleResult::Fired);
    // Of a model, where this release knows of one.
    let all = serde_json::to_value(body).unwrap_or_default();
    Explanation {
        decision_id: body.decision_id,
        outcome: body.outcome.to_string(),
        summary: summary(&decision, &fired, bundle),
        missing: with(RuleResult::Missing),
        fired,
        reasons: reasons(&decision, bundle),
        rule_score: body.rule_score,
        score: all["score"].clone(),
        contributions: all["contributions"].clone(),
        inputs: inputs(&decision),
        features: features(&decision, bundle),
        rules: rules(&decision, bundle, event),
        bundle: BundleNamed {
            slot: body.bundle_slot.clone(),
            name: bundle.map(|it| it.name.clone()),
            bundle_digest: body.bundle_digest,
            feature_set_digest: body.feature_set_digest,
            policy_rev: evidence.stamps.policy_rev.clone(),
        },
        posture: PostureOf {
            posture: body.posture,
            reason: evidence.posture_reason.clone(),
            capabilities: evidence.capabilities.clone(),
        },
        notes,
        decision,
    }
}

fn summary(decision: &DecisionView, fired: &[String], bundle: Option<&Sources>) -> String {
    let body = &decision.body;
    let because = match (fired, bundle) {
        ([], Some(bundle)) if bundle.policy.default == body.outcome => {
            "no rule fired, so the default holds".to_owned()
        }
        ([], _) => "no rule fired".to_owned(),
        _ => format!(
            "{} fired; reasons {}",
            fired.join(", "),
            body.reasons.join(", ")
        ),
    };
    let degraded = match body.degraded.as_slice() {
        [] => String::new(),
        reasons => format!(
            "; decided without all of the context: {}",
            reasons.join(", ")
        ),
    };
    format!("{} at {}: {because}{degraded}", body.outcome, body.ts_utc)
}

fn reasons(decision: &DecisionView, bundle: Option<&Sources>) -> Vec<Reason> {
    let body = &decision.body;
    let fired = |rule: &&Rule| {
        let mut tried = body.trace.iter();
        tried.any(|it| it.rule_id == rule.id && it.result == RuleResult::Fired)
    };
    let text = |code: &String| {
        if body.degraded.contains(code) {
            return "part of the context was not there when the decision was made".to_owned();
        }
        let rules = bundle.iter().flat_map(|it| &it.policy.rules).filter(fired);
        let texts = rules.filter(|it| it.reason_code == *code);
        let texts: Vec<&str> = texts.map(|it| it.description.as_str()).collect();
        texts.join("; ")
    };
    let reason = |code: &String| Reason {
        code: code.clone(),
        text: text(code),
    };
    body.reasons.iter().map(reason).collect()
}

fn inputs(decision: &DecisionView) -> Vec<Input> {
    let evidence = &decision.evidence;
    let input = |(part, state): (&InputPart, &JoinState)| Input {
        part: *part,
        state: *state,
        reference: evidence.inputs.get(part).cloned(),
    };
    evidence.join.iter().map(input).collect()
}

fn features(decision: &DecisionView, bundle: Option<&Sources>) -> Vec<Feature> {
    let values = &decision.body.features;
    let Some(bundle) = bundle else {
        let bare = |(name, value): (&String, &Value)| Feature {
            name: name.clone(),
            value: value.clone(),
            what: String::new(),
            definition: Json::Null,
        };
        return values.iter().map(bare).collect();
    };
    let defined = bundle.features.features.iter();
    let feature = |it: &crate::contracts::feature_set::Feature| {
        let definition = serde_json::to_value(it).unwrap_or_default();
        Feature {
            name: it.name.clone(),
            value: values.get(&it.name).cloned().unwrap_or(Value::Missing),
            what: in_words(&definition),
            definition,
        }
    };
    defined.map(feature).collect()
}

/// A definition as a sentence would say it; of a kind that is not known, as it stands.
fn in_words(definition: &Json) -> String {
    let text = |name: &str| definition[name].as_str();
    if let Some(expression) = text("expr") {
        return expression.to_owned();
    }
    let (Some(agg), Some(window)) = (text("agg"), text("window")) else {
        return definition.to_string();
    };
    let entity: Vec<&str> = definition["entity"]
        .as_array()
        .map(|it| it.iter().filter_map(Json::as_str).collect())
        .unwrap_or_default();
    let mut words = match text("value") {
        Some(value) => format!("{agg} of {value}"),
        None => agg.to_owned(),
    };
    words.push_str(&format!(" by {} over {window}", entity.join(" and ")));
    if let Some(delay) = text("delay") {
        words.push_str(&format!(", up to {delay} before"));
    }
    if let Some(filter) = text("filter") {
        words.push_str(&format!(", where {filter}"));
    }
    if definition["include_current"] == false {
        words.push_str(", without the event itself");
    }
    words
}

fn rules(
    decision: &DecisionView,
    bundle: Option<&Sources>,
    event: Option<&Json>,
) -> Vec<RuleTried> {
    let body = &decision.body;
    let tried = body.trace.iter().map(|tried| {
        let rule = bundle.and_then(|it| it.policy.rules.iter().find(|it| it.id == tried.rule_id));
        let operands = rule.map(|it| operands::met(&it.when, body, event));
        RuleTried {
            rule_id: tried.rule_id.clone(),
            result: tried.result,
            operand: tried.operand.clone(),
            operands: operands.unwrap_or_default(),
            rule: rule.cloned(),
        }
    });
    tried.collect()
}

#[cfg(test)]
mod tests {
    use super::in_words;
    use serde_json::json;

    #[test]
    fn definitions_are_said_in_words() {
        let window = json!({"name": "f", "entity": ["customer_id", "merchant_id"], "agg": "mean",
            "value": "event.amount_minor", "window": "7d", "delay": "1d", "filter": "event.amount_minor > 5",
            "include_current": false});
        assert_eq!(
            in_words(&window),
            "mean of event.amount_minor by customer_id and merchant_id over 7d, up to 1d before, \
             where event.amount_minor > 5, without the event itself"
        );
        assert_eq!(
            in_words(&json!({"type": "bool", "expr": "event.x > 1"})),
            "event.x > 1"
        );
        assert_eq!(in_words(&json!({"kind": "new"})), r#"{"kind":"new"}"#);
    }
}
