//! The bundle that the loop is measured with (P3): the baseline's windows, features of the entity graph, a tree
//! ensemble over them, rules and thresholds.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::app::bench::score::{Draw, ensemble};
use crate::app::bundles::shipped;

/// So that there are 22 windows, and the entity graph.
const MORE: &str = "
  - {name: merchant_count_1h, entity: [merchant_id], agg: count, window: 1h}
  - {name: merchant_mean_7d, entity: [merchant_id], agg: mean, value: event.amount_minor, window: 7d}
  - {name: terminal_count_1d, entity: [terminal_id], agg: count, window: 1d}
  - {name: card_sum_1h, entity: [card_id], agg: sum, value: event.amount_minor, window: 1h}
  - {name: device_degree, graph: degree, entity: [device_id]}
  - {name: customer_sharers, graph: shared_customers, entity: [customer_id], through: [device_id, ip]}
  - {name: customer_component, graph: component_size, entity: [customer_id]}
  - {name: near_fraud, graph: labelled_neighbours, entity: [customer_id], hops: 2}
";
const RULES: &str = "
  - {id: B001, owner: bench, description: \"The model is unsure and the device shared\", when: \"model.score > 0.7 && features.device_degree > 3\", outcome: STEP_UP, reason_code: UNSURE_SHARED}
";
const MANIFEST: &str = "bundle: bench\nversion: 1\nthresholds: {review: 0.95, decline: 0.99}\n";
const TREES: u32 = 500;
const DEPTH: u32 = 6;
const SEED: u64 = 1;

/// What the trees ask, with a value that is large for it: thresholds lie between 0 and this.
const ASKED: [(&str, f64); 22] = [
    ("customer_count_1d", 6.0),
    ("customer_mean_1d", 20_000.0),
    ("customer_count_7d", 20.0),
    ("customer_mean_7d", 20_000.0),
    ("customer_count_30d", 80.0),
    ("customer_mean_30d", 20_000.0),
    ("customer_before_29d", 80.0),
    ("customer_online_before_29d", 40.0),
    ("customer_mean_before_29d", 20_000.0),
    ("device_known_29d", 40.0),
    ("address_known_29d", 40.0),
    ("payee_known_29d", 10.0),
    ("device_count_1d", 6.0),
    ("device_sum_1d", 60_000.0),
    ("device_customers_7d", 4.0),
    ("merchant_tests_1h", 5.0),
    ("payee_payers_7d", 4.0),
    ("payee_sum_7d", 200_000.0),
    ("amount_to_usual", 4.0),
    ("device_degree", 5.0),
    ("customer_sharers", 4.0),
    ("customer_component", 50.0),
];

/// Writes the bundle's folder below `cache`.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(cache: &Path) -> anyhow::Result<PathBuf> {
    let dir = cache.join("bench");
    std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    let mut features = shipped("bundles/baseline/feature_set.yaml")?.0;
    features = features.replace("feature_set: baseline", "feature_set: bench");
    features.push_str(MORE);
    let mut policy = shipped("bundles/baseline/policy.yaml")?.0;
    policy = policy.replace("policy: baseline", "policy: bench");
    write!(policy, "{RULES}")?;
    let trees = ensemble(&mut Draw(SEED), &ASKED, TREES, DEPTH);
    for (file, text) in [
        ("feature_set.yaml", features),
        ("policy.yaml", policy),
        ("model.json", serde_json::to_string(&trees)?),
        ("bundle.yaml", MANIFEST.to_owned()),
    ] {
        let path = dir.join(file);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::bundles;

    #[test]
    fn it_compiles_and_has_what_the_goal_names() {
        let cache = tempfile::tempdir().unwrap();
        let dir = write(cache.path()).unwrap();
        let (bundle, files) = bundles::sources(Some(&dir)).unwrap();
        let compiled = bundles::compile(&bundle, &files, None);
        assert!(compiled.is_ok(), "{:?}", compiled.err());
        let windows = bundle.feature_set.matches("window:").count();
        assert!(windows >= 22, "{windows}");
    }
}
