//! Labels beside a storm: some payments are said to be fraud while others are still to come, by a bundle that looks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fraudplat::domain::time::Time;

use crate::home::Home;
use crate::labeller::Labeller;
use crate::producers::Stream;
use crate::shop::Payment;

/// One payment of so many is.
const OF: usize = 20;
/// Known so long after it.
const KNOWN_AFTER_S: i64 = 3_600;
const FEATURES: &str = r#"
  - {name: frauds_7d, entity: [merchant_id], agg: fraud_share, window: 7d}
  - {name: near_fraud, graph: labelled_neighbours, entity: [customer_id]}
"#;
const RULE: &str = "S001";
const RULES: &str = r#"
  - {id: S001, owner: storm, description: "A place with frauds", when: "features.frauds_7d > 0.0", outcome: STEP_UP, score: 1, reason_code: PLACE_WITH_FRAUDS}
"#;

/// The shipped bundle, with features and a rule of labels.
pub(crate) fn bundle(home: &Home) -> PathBuf {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles/bundles/baseline");
    let dir = home.dir().join("bundle");
    std::fs::create_dir(&dir).unwrap();
    for (file, more) in [("feature_set.yaml", FEATURES), ("policy.yaml", RULES)] {
        let text = std::fs::read_to_string(shipped.join(file)).unwrap();
        std::fs::write(dir.join(file), text.trim_end().to_owned() + more).unwrap();
    }
    dir
}

/// Labels what is admitted, as the stream comes on. What is not surely on the log is said again: it is the same
/// label. Returns how many it said before the stream was over.
pub(crate) fn say(labeller: &Labeller, payments: &[Payment], stream: &Stream) -> usize {
    let mut said = 0;
    for (nth, payment) in payments.iter().enumerate().step_by(OF) {
        let known = Time::from_micros((payment.time_s + KNOWN_AFTER_S) * 1_000_000);
        let label = [(payment.event_id.clone(), known)];
        while stream.admitted() <= nth as u64 || !labeller.frauds(&label) {
            if stream.is_over() {
                return said;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        said += 1;
    }
    said
}

/// Decisions that fired the rule of labels, up to a thousand.
pub(crate) fn seen(home: &Home, run: &str) -> usize {
    let of_rule = [
        "dla", "list", "--run", run, "--rule", RULE, "--limit", "1000",
    ];
    home.json(&of_rule).as_array().unwrap().len()
}
