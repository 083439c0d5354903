//! `fraudplat dla explain`: why a decision is what it is, section by section.

use serde_json::Value as Json;

use crate::app::commands::Call;
use crate::app::commands::replay::refusal;
use crate::app::commands::table::{grouped, table};
use crate::app::run::DONE;
use crate::contracts::decision::RuleResult;
use crate::rtdl::audit::{self, Explanation, RuleTried};

pub(super) async fn run(call: &Call, id: &str) -> anyhow::Result<u8> {
    let id = id.parse()?;
    let explained = audit::explain(&call.ground, id).await;
    let explained = explained.map_err(refusal)?;
    call.output.result(&explained, shown);
    Ok(DONE)
}

fn shown(it: &Explanation) -> String {
    let mut text = format!("{}\n", it.summary);
    let mut section = |head: &str, body: String| {
        if !body.is_empty() {
            let body = body.replace('\n', "\n  ");
            text.push_str(&format!("\n{head}\n  {body}\n"));
        }
    };
    section("Decision", decision(it));
    section("Reasons", reasons(it));
    section("Rules", rules(it));
    section("Score", score(it));
    section("Features", features(it));
    section("Inputs", inputs(it));
    section("Shadows, not acted on", shadows(it));
    section("Notes", it.notes.join("\n"));
    text.trim_end().to_owned()
}

fn decision(it: &Explanation) -> String {
    let (body, evidence) = (&it.decision.body, &it.decision.evidence);
    let line = |name: &str, value: String| vec![name.to_owned(), value];
    let name = it.bundle.name.as_deref().unwrap_or("(not there)");
    let rows = vec![
        line("decision", it.decision_id.to_string()),
        line("run", body.pins.platform_run_id.to_string()),
        line("event", format!("{} {}", body.event_class, body.event_id)),
        line(
            "decided",
            format!("{}, admitted {}", evidence.decided_at, evidence.admitted_at),
        ),
        line(
            "bundle",
            format!("{name} {} in {}", it.bundle.bundle_digest, it.bundle.slot),
        ),
        line("features", it.bundle.feature_set_digest.to_string()),
        line("policy", it.bundle.policy_rev.clone()),
        line(
            "posture",
            format!("{}: {}", it.posture.posture, it.posture.reason),
        ),
        line(
            "chain",
            format!("{} {}", grouped(it.decision.seq), it.decision.link),
        ),
        line(
            "engine",
            format!(
                "revision {}, {}",
                evidence.engine_rev, evidence.stamps.service_release_id
            ),
        ),
    ];
    bare(rows)
}

fn shadows(it: &Explanation) -> String {
    let rows = it.decision.shadows.iter().map(|it| {
        let score = it
            .score
            .map_or_else(String::new, |it| format!("score {it}"));
        let bundle = format!("by {}", it.bundle_digest);
        let (slot, outcome) = (it.bundle_slot.clone(), it.outcome.to_string());
        vec![slot, outcome, score, it.reasons.join(" "), bundle]
    });
    bare(rows.collect())
}

/// A table without a head.
fn bare(rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head = vec![""; rows[0].len()];
    let text = table(&head, rows, &[]);
    let lines = text
        .lines()
        .skip(1)
        .map(|it| it.strip_prefix(' ').unwrap_or(it));
    lines.collect::<Vec<_>>().join("\n")
}

fn reasons(it: &Explanation) -> String {
    let rows = it.reasons.iter();
    bare(
        rows.map(|it| vec![it.code.clone(), it.text.clone()])
            .collect(),
    )
}

fn rules(it: &Explanation) -> String {
    let rows = it.rules.iter().map(|tried| {
        let of = tried.rule.as_ref();
        let effect = of.map_or_else(String::new, |rule| match tried.result {
            RuleResult::Fired => format!("{} {:+}", rule.outcome, rule.score),
            _ => String::new(),
        });
        vec![
            tried.rule_id.clone(),
            result(tried),
            effect,
            of.map_or_else(String::new, |it| {
                format!("{} ({})", it.description, it.owner)
            }),
            of.map_or_else(String::new, |it| it.when.clone()),
            met(tried),
        ]
    });
    bare(rows.collect())
}

fn result(tried: &RuleTried) -> String {
    let operand = tried.operand.as_deref().unwrap_or("an operand");
    match tried.result {
        RuleResult::Fired => "fired".to_owned(),
        RuleResult::NotFired => "not fired".to_owned(),
        RuleResult::Missing => format!("{operand} is missing"),
        RuleResult::Undefined => format!("{operand} is undefined"),
    }
}

fn met(tried: &RuleTried) -> String {
    let met = tried.operands.iter();
    let met = met.map(|(name, value)| format!("{name} = {value}"));
    met.collect::<Vec<_>>().join(", ")
}

fn score(it: &Explanation) -> String {
    let mut rows = vec![vec!["rules".to_owned(), grouped(it.rule_score)]];
    if !it.score.is_null() {
        rows.push(vec!["model".to_owned(), it.score.to_string()]);
    }
    match &it.contributions {
        Json::Object(of) => rows.extend(
            of.iter()
                .map(|(k, v)| vec![format!("  {k}"), v.to_string()]),
        ),
        Json::Array(of) => rows.extend(of.iter().map(|v| vec![String::new(), v.to_string()])),
        _ => {}
    }
    bare(rows)
}

fn features(it: &Explanation) -> String {
    let rows = it.features.iter().map(|it| {
        let value = serde_json::to_string(&it.value).unwrap_or_default();
        vec![it.name.clone(), value, it.what.clone()]
    });
    bare(rows.collect())
}

fn inputs(it: &Explanation) -> String {
    let rows = it.inputs.iter().map(|it| {
        let state = serde_json::to_value(it.state).unwrap_or_default();
        let (at, hash) = match &it.reference {
            Some(of) => (
                format!(
                    "{} {} {}",
                    of.origin_offset.stream,
                    of.origin_offset.shard_id.0,
                    of.origin_offset.sequence_number
                ),
                of.payload_hash.to_string(),
            ),
            None => (String::new(), String::new()),
        };
        let state = state.as_str().unwrap_or_default().to_lowercase();
        vec![it.part.as_str().to_owned(), state, at, hash]
    });
    bare(rows.collect())
}
