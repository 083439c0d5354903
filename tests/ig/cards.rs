//! No card number in clear survives: not in a table, not in an object, not on the bus, not in a log.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fraudplat::domain::vocabulary::{EventClass, Stream};
use serde_json::{Value, json};

use crate::gate::{NDJSON, event, lab, words};

const CARD: &str = "4111111111111111";

/// Everything that this test process logs.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Captures what every test of this process logs; each starts with it.
pub(crate) fn capture_log() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter("trace,hyper=off,reqwest=off,h2=off,tokio_postgres=off")
            .with_ansi(false)
            .with_writer(|| Log)
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

pub(crate) fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    files
}

fn holds_card(bytes: &[u8]) -> bool {
    bytes.windows(CARD.len()).any(|it| it == CARD.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_number_in_clear_is_never_stored() {
    let lab = lab().await;
    let gate = lab.gate().await;
    let mut admitted = event(&lab.run, EventClass::ArrivalEntities, "a1", 1);
    admitted["payload"]["card_id"] = json!(CARD);
    admitted["payload"]["account_id"] = json!("4111 1111 1111 1111");
    admitted["payload"]["beneficiary_id"] = json!("5555555555554444");
    let mut traffic = lab.traffic("a2", 1);
    traffic["payload"]["attributes"] = json!({"note": CARD, "number": 4_111_111_111_111_111_i64});
    let mut other_payload = traffic.clone();
    other_payload["payload"]["amount_minor"] = json!(2);
    let mut invalid = lab.traffic("q1", 1);
    invalid["payload"]["pan"] = json!([CARD, {"deep": CARD}]);
    let mut class = lab.traffic("q2", 1);
    class["event_class"] = json!(CARD);
    let mut pii = lab.traffic("q3", 1);
    pii["pii"] = json!({"card": CARD});
    let unparsable = format!("{{\"event_id\": \"u1\", \"payload\": {CARD}1.5, \"{CARD}\"");
    let events: Vec<Value> = vec![admitted, traffic, other_payload, invalid, class, pii];
    let body = crate::gate::lines(&events) + &unparsable;
    let answer = gate.post(NDJSON, body).await;
    assert_eq!(
        words(&answer.results()),
        [
            "ADMITTED",
            "ADMITTED",
            "QUARANTINED PAYLOAD_HASH_MISMATCH",
            "QUARANTINED SCHEMA_INVALID",
            "QUARANTINED CLASS_UNKNOWN",
            "QUARANTINED PII_UNSUPPORTED",
            "REJECTED NUMBER_NOT_INTEGER",
        ]
    );
    assert!(
        !holds_card(answer.body.to_string().as_bytes()),
        "{answer:?}"
    );
    gate.drain().await;

    let entities = lab.records(Stream::ArrivalEntities).await;
    let record: Value = serde_json::from_slice(&entities[0].data).unwrap();
    let payload = &record["envelope"]["payload"];
    let token = payload["card_id"].as_str().unwrap();
    assert!(token.starts_with("tok_") && token.len() == 36, "{payload}");
    assert_eq!(
        payload["account_id"], payload["card_id"],
        "spacing makes no other token"
    );
    for stream in Stream::ALL {
        for record in lab.records(*stream).await {
            assert!(!holds_card(&record.data));
        }
    }
    check_tables(&lab.client().await).await;
    for (path, bytes) in files(lab.dir.path()) {
        assert!(!holds_card(&bytes), "{path:?}");
    }
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(!log.is_empty(), "the log is being captured");
    assert!(!holds_card(&log));
}

/// Every row of every table of ours, bytes shown as text and as hex.
async fn check_tables(client: &fraudplat::substrate::db::Client) {
    let sql = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
        WHERE schemaname IN ('ig', 'governance', 'runtime', 'rtdl', 'dla')";
    let hex: String = CARD.bytes().map(|byte| format!("{byte:02x}")).collect();
    let tables = client.query(sql, &[]).await.unwrap();
    assert!(tables.len() > 10);
    let mut n_rows = 0;
    for table in tables {
        let table: String = table.get(0);
        let sql = format!(
            "SELECT count(*), count(*) FILTER (WHERE t::text LIKE '%{CARD}%' OR t::text LIKE '%{hex}%') FROM {table} t"
        );
        let row = client.query_one(&sql, &[]).await.unwrap();
        n_rows += row.get::<_, i64>(0);
        assert_eq!(row.get::<_, i64>(1), 0, "{table}");
    }
    assert!(n_rows > 10);
}
