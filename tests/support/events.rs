//! HTTP as a producer or an analyst speaks it: plain requests, the answers as they came.

use std::time::{Duration, Instant};

use fraudplat::domain::ids::DecisionId;
use fraudplat::domain::vocabulary::EventClass;
use fraudplat::substrate::auth::client;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HOST, WWW_AUTHENTICATE};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::home::{Home, LONG, until};

pub(crate) const JSON: &str = "application/json";
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// How long a gate lets a request wait before it says that an outcome is open.
const REQUEST_MAX: Duration = Duration::from_secs(10);

/// A client of one process's port.
pub(crate) struct Port {
    url: String,
    key: String,
    http: reqwest::Client,
    runtime: Runtime,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    /// What `WWW-Authenticate` asks for.
    pub(crate) challenges: Vec<String>,
    /// Null where the body is no JSON.
    pub(crate) body: Value,
}

impl Port {
    /// As whoever holds the key; nobody with an empty one.
    pub(crate) fn at(addr: &str, key: &str) -> Port {
        Port::made(addr, key, client::builder())
    }

    /// The same; an answer that takes longer does not come.
    pub(crate) fn impatient(addr: &str, key: &str, at_most: Duration) -> Port {
        Port::made(addr, key, client::builder().timeout(at_most))
    }

    /// Each request has its own connection: between two of them the runtime stands still, and a kept
    /// connection that the server let go meanwhile would fail the next.
    fn made(addr: &str, key: &str, client: reqwest::ClientBuilder) -> Port {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        Port {
            url: format!("http://{addr}"),
            key: key.to_owned(),
            http: client.pool_max_idle_per_host(0).build().unwrap(),
            runtime: runtime.unwrap(),
        }
    }

    /// The same under another key.
    pub(crate) fn with_key(&self, key: &str) -> Port {
        Port::at(self.addr(), key)
    }

    /// The same caller of a process that listens elsewhere.
    pub(crate) fn moved_to(&self, addr: &str) -> Port {
        Port::at(addr, &self.key)
    }

    /// Another client of the same.
    pub(crate) fn again(&self) -> Port {
        self.with_key(&self.key)
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match self.key.is_empty() {
            true => request,
            false => request.bearer_auth(&self.key),
        }
    }

    /// Where it was told to ask.
    pub(crate) fn addr(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// `None` when nobody answers.
    pub(crate) fn try_get(&self, path: &str) -> Option<Answer> {
        self.runtime
            .block_on(answer(self.request(Method::GET, path)))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.try_get(path).unwrap()
    }

    pub(crate) fn post(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        self.try_post(path, content_type, body).unwrap()
    }

    /// `None` when nobody answers.
    pub(crate) fn try_post(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> Option<Answer> {
        let request = self.request(Method::POST, path);
        let request = request.header(CONTENT_TYPE, content_type).body(body);
        self.runtime.block_on(answer(request))
    }

    /// A method that no path takes, and what the answer allows instead.
    pub(crate) fn delete(&self, path: &str) -> (Answer, String) {
        let request = self.request(Method::DELETE, path);
        self.runtime.block_on(async {
            let response = request.send().await.unwrap();
            let allow = response.headers().get(reqwest::header::ALLOW);
            let allow = allow.map(|it| it.to_str().unwrap().to_owned());
            (read(response).await.unwrap(), allow.unwrap_or_default())
        })
    }

    /// The status of a request as a browser sends it, with a password.
    pub(crate) fn basic(&self, method: &str, path: &str, password: &str) -> u16 {
        let request = self.request(method.parse().unwrap(), path);
        let request = request.basic_auth("anyone", Some(password));
        self.runtime.block_on(answer(request)).unwrap().status
    }

    /// The status of a request that asks for this host.
    pub(crate) fn get_as(&self, host: &str, path: &str) -> u16 {
        let request = self.request(Method::GET, path).header(HOST, host);
        self.runtime.block_on(answer(request)).unwrap().status
    }

    /// The counters as Prometheus reads them.
    pub(crate) fn metrics(&self) -> String {
        let request = self.request(Method::GET, "/metrics");
        let text = async { request.send().await.unwrap().text().await.unwrap() };
        self.runtime.block_on(text)
    }

    /// A command under a token.
    pub(crate) fn command(&self, token: &str, content_type: &str, body: &str) -> Answer {
        self.with_key(token)
            .post("/v1/commands", content_type, body.to_owned())
    }

    /// Sends events, one a line, and returns one verdict each.
    #[track_caller]
    pub(crate) fn send(&self, events: &[Value]) -> Vec<Value> {
        let lines: Vec<String> = events.iter().map(Value::to_string).collect();
        let began = Instant::now();
        let answer = self.post("/v1/events", NDJSON, lines.join("\n"));
        // A slow disk makes a gate leave an outcome open, but not before it has waited.
        let is_late = answer.status == 202 && REQUEST_MAX <= began.elapsed();
        assert!(answer.status == 200 || is_late, "{answer:?}");
        let mut results = answer.body["results"].as_array().unwrap().clone();
        assert_eq!(results.len(), events.len());
        for (event, verdict) in events.iter().zip(&mut results) {
            if is_late && verdict["result"] == "PUBLISH_IN_FLIGHT" {
                *verdict = self.settled(event);
            }
        }
        results
    }

    /// What the receipt of an event says, once it is admitted.
    #[track_caller]
    fn settled(&self, event: &Value) -> Value {
        let place = ["platform_run_id", "event_class", "event_id"];
        let place = place.map(|name| event[name].as_str().unwrap());
        let path = format!("/v1/receipts/{}", place.join("/"));
        until("a receipt", LONG, || {
            let answer = self.try_get(&path)?;
            (answer.status == 200).then_some(answer.body)
        })
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Option<Answer> {
    read(request.send().await.ok()?).await
}

async fn read(response: reqwest::Response) -> Option<Answer> {
    let status = response.status().as_u16();
    let content_type = response.headers().get(CONTENT_TYPE);
    let content_type = content_type.map(|it| it.to_str().unwrap().to_owned());
    let challenges = response.headers().get_all(WWW_AUTHENTICATE).iter();
    let challenges = challenges.map(|it| it.to_str().unwrap().to_owned());
    let challenges = challenges.collect();
    let bytes = response.bytes().await.ok()?;
    Some(Answer {
        status,
        challenges,
        content_type: content_type.unwrap_or_default(),
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    })
}

/// A live run: events come from the test, with the pins that READY stated.
pub(crate) struct Till {
    pub(crate) run: String,
    pins: Value,
}

/// Pins a live run of this name.
pub(crate) fn till(home: &Home, name: &str) -> Till {
    let pins = home.json(&["sr", "run", "--live", name]);
    let run = pins["platform_run_id"].as_str().unwrap().to_owned();
    Till { run, pins }
}

impl Till {
    /// An event that happens now.
    pub(crate) fn event(&self, class: &str, id: &str, payload: Value) -> Value {
        json!({
            "event_id": id,
            "event_class": class,
            "schema_version": 1,
            "ts_utc": format!("{:.6}", jiff::Timestamp::now()),
            "platform_run_id": self.pins["platform_run_id"],
            "scenario_run_id": self.pins["scenario_run_id"],
            "manifest_fingerprint": self.pins["manifest_fingerprint"],
            "producer": "e2e",
            "payload": payload,
        })
    }

    /// The request to authorise a payment.
    pub(crate) fn traffic(&self, id: &str, amount_minor: i64) -> Value {
        let payload = json!({
            "flow_id": format!("flow-{id}"), "customer_id": "c1", "merchant_id": "m1",
            "card_id": "k1", "amount_minor": amount_minor, "currency": "EUR", "channel": "pos",
        });
        self.event("traffic", id, payload)
    }

    /// A payment whole: its context and its traffic. `seq` is its number at the merchant.
    pub(crate) fn payment(&self, id: &str, seq: i64, amount_minor: i64) -> [Value; 4] {
        let arrival = json!({"merchant_id": "m1", "arrival_seq": seq, "kind": "payment"});
        let entities = json!({
            "merchant_id": "m1", "arrival_seq": seq, "customer_id": "c1", "card_id": "k1",
        });
        let anchor = json!({
            "flow_id": format!("flow-{id}"), "merchant_id": "m1", "arrival_seq": seq,
        });
        [
            self.event("arrival_event", id, arrival),
            self.event("arrival_entities", id, entities),
            self.event("flow_anchor", id, anchor),
            self.traffic(id, amount_minor),
        ]
    }
}

/// The id of the decision on an event: it follows from run and event.
pub(crate) fn decision_id(run: &str, event_id: &str) -> String {
    let (run, event_id) = (run.parse().unwrap(), event_id.parse().unwrap());
    DecisionId::of(&run, EventClass::Traffic, &event_id).to_string()
}

impl Port {
    /// Waits until an event is decided; returns the decision.
    #[track_caller]
    pub(crate) fn decision(&self, run: &str, event_id: &str) -> Value {
        let path = format!("/v1/decisions/{}", decision_id(run, event_id));
        until("a decision", LONG, || {
            let answer = self.get(&path);
            (answer.status == 200).then_some(answer.body)
        })
    }
}

impl Port {
    /// Waits until so many payments of a run are decided. Lanes finish out of order, so the decision
    /// on the last payment says nothing of the others.
    #[track_caller]
    pub(crate) fn until_decided(&self, run: &str, payments: u64) {
        let path = format!("/v1/runs/{run}/progress");
        until("decisions", LONG, || {
            let answer = self.get(&path);
            // On a slow disk no connection to the database may be free in time.
            assert!([200, 503].contains(&answer.status), "{answer:?}");
            (answer.body["decisions_count"].as_u64()? >= payments).then_some(())
        });
    }
}

/// `ADMITTED`, or `QUARANTINED SCHEMA_INVALID`.
pub(crate) fn words(verdict: &Value) -> String {
    let result = verdict["result"].as_str().unwrap();
    match verdict["code"].as_str() {
        Some(code) => format!("{result} {code}"),
        None => result.to_owned(),
    }
}
