//! What the OpenAPI document promises, held against the port by schemathesis (`scripts/setup` installs
//! it): requests that fit the document and requests that do not, at every operation, with ids that exist.
//!
//! `FRAUDPLAT_SCHEMATHESIS_EXAMPLES`: how many requests of each kind at each operation; `just schemathesis 2000`.
//! `FRAUDPLAT_SCHEMATHESIS_SEED`: which ones.

use std::io::Write as _;
use std::process::Command;

use rustix::process::Signal;
use serde_json::json;

use crate::events::{Port, Till, decision_id, till, words};
use crate::home::{DONE, Home, LONG, until};
use crate::tools::tool;

/// Where the document says less than holds: a body is answered 200 and each of its events by a verdict, also
/// one that does not fit; and `timeout_ms` without `wait` is refused. Times, entities and places of pages in queries
/// are read further than a pattern tells; a force must end in the time to come.
const SETTINGS: &str = r#"
request-timeout = 120
continue-on-failure = true
[[operations]]
include-path = "/v1/events"
checks.negative_data_rejection.expected-statuses = ["200", "202", "400", "401", "413", "415"]
checks.positive_data_acceptance.expected-statuses = ["200", "202", "400", "413", "415"]
[[operations]]
include-path-regex = "^/v1/(graph/|decisions$|actions$)"
checks.positive_data_acceptance.expected-statuses = ["200", "400", "404"]
[[operations]]
include-path-regex = "^/v1/posture/(force|release)$"
checks.positive_data_acceptance.expected-statuses = ["200", "400", "404"]
"#;

#[test]
fn the_port_keeps_what_its_document_promises() {
    let home = Home::new();
    let (all, port) = home.serve();
    let till = till(&home, "till");
    let settings = format!("{SETTINGS}\n{}", ids(&home, &port, &till));
    let settings = home.file("schemathesis.toml", &settings);
    let examples = std::env::var_os("FRAUDPLAT_SCHEMATHESIS_EXAMPLES");
    let examples = examples.unwrap_or_else(|| "25".into());
    let seed = std::env::var_os("FRAUDPLAT_SCHEMATHESIS_SEED");
    let seed = seed.unwrap_or_else(|| "1".into());

    let mut command = Command::new(tool("schemathesis"));
    command.arg("--config-file").arg(&settings).arg("run");
    command.arg(format!("http://{}/openapi.json", port.addr()));
    let key = home.key("local");
    command.args(["-H", &format!("Authorization: Bearer {}", key.trim())]);
    command
        .args(["--checks", "all", "--max-examples"])
        .arg(examples)
        // The same requests every time, also on a machine that draws them slowly.
        .args(["--suppress-health-check", "too_slow", "--seed"])
        .arg(seed);
    command.env("NO_COLOR", "1").current_dir(home.dir());
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    let wrong = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}\n{wrong}");
    let cases = said.lines().find(|it| it.contains(" generated, "));
    let cases = cases.unwrap_or_default().trim();
    drop(writeln!(std::io::stderr().lock(), "{cases}"));
    let number = |word: &str| -> Option<u64> {
        let (before, _) = cases.split_once(word)?;
        before.rsplit(' ').next()?.parse().ok()
    };
    let (generated, passed) = (number(" generated"), number(" passed"));
    assert!(generated >= Some(500) && passed == generated, "{said}");

    // It serves as before.
    let verdicts = port.send(&[till.traffic("after", 1_200)]);
    assert_eq!(words(&verdicts[0]), "ADMITTED");
    let ended = all.stop(Signal::TERM).expect(DONE);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

/// What there is to ask for: a decision, receipts, a quarantined event.
fn ids(home: &Home, port: &Port, till: &Till) -> String {
    port.send(&till.payment("whole", 1, 23_000));
    let mut bad = till.traffic("bad", 100);
    bad["payload"]["currency"] = json!("euro");
    port.send(&[bad]);
    port.until_decided(&till.run, 1);
    home.run(&["run", "report", &till.run]).expect(0);
    let refused = until("a quarantined event", LONG, || {
        let page = port.get(&format!("/v1/quarantine/{}", till.run)).body;
        let id = page["results"][0]["quarantine_id"].as_str()?;
        Some(id.to_owned())
    });
    let page = port.get(&format!("/v1/receipts/{}?limit=1", till.run)).body;
    let receipts = page["next"].as_str().unwrap();
    let page = port.get(&format!("/v1/quarantine/{}", till.run)).body;
    let at = page["next"].as_str().unwrap_or("1738324800000000.1.1");
    let decision = decision_id(&till.run, "whole");
    format!(
        r#"[parameters]
"path.run" = "{run}"
"path.class" = "traffic"
"path.event_id" = "whole"
"path.version" = "1"
"path.decision_id" = "{decision}"
"path.quarantine_id" = "{refused}"
[[operations]]
include-path = "/v1/actions"
parameters = {{ "query.run" = "{run}", "query.after" = "1738324800502117.act_{nobody}" }}
[[operations]]
include-path = "/v1/decisions"
parameters = {{ "query.run" = "{run}", "query.after" = "1" }}
[[operations]]
include-path = "/v1/receipts/{{run}}"
parameters = {{ "query.after" = "{receipts}" }}
[[operations]]
include-path = "/v1/quarantine/{{run}}"
parameters = {{ "query.after" = "{at}" }}
"#,
        run = till.run,
        nobody = "0".repeat(64),
    )
}
