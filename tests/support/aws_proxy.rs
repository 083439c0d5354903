//! A proxy in front of a server of AWS's JSON protocols that fails as a script says, by action
//! (`X-Amz-Target`) and count, or as is drawn. It injects what no emulator does.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its world has failed"
)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What becomes of one request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Forwarded and answered.
    Pass,
    /// Not forwarded: this error.
    Refuse { status: u16, code: &'static str },
    /// Of a `PutRecords`: these records are not forwarded and fail with this code.
    RefuseRecords {
        places: Vec<usize>,
        code: &'static str,
    },
    /// Of a `PutRecords`: all are forwarded, and these are said to have failed.
    DenyRecords {
        places: Vec<usize>,
        code: &'static str,
    },
    /// Forwarded, and the connection closed without an answer.
    LoseReply,
    /// Not forwarded, and the connection closed without an answer.
    Lose,
    /// Forwarded, and HTTP 500 answered.
    FailAfter,
    /// Not forwarded, and the connection reset.
    Reset,
    /// Forwarded and answered after a while.
    Delay(Duration),
    /// Forwarded, and of the answer's `name` this value told.
    Tell { name: &'static str, value: Value },
}

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) action: String,
    pub(crate) body: Value,
}

/// The fault of a request with this action and so many records.
type Drawing = Box<dyn FnMut(&str, usize) -> Fault + Send>;

#[derive(Default)]
struct Script {
    faults: BTreeMap<String, VecDeque<Fault>>,
    /// Where faults are drawn, beyond the script, requests are too many to be kept.
    drawing: Option<Drawing>,
    seen: Vec<Seen>,
}

/// Stops when dropped.
pub(crate) struct AwsProxy {
    pub(crate) endpoint_url: String,
    script: Arc<Mutex<Script>>,
    _accepting: JoinSet<()>,
}

impl AwsProxy {
    pub(crate) async fn before(upstream: &str) -> AwsProxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let endpoint_url = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(Script::default()));
        let line = Line {
            upstream: upstream.to_owned(),
            client: fraudplat::substrate::auth::client::builder()
                .build()
                .unwrap(),
            script: script.clone(),
        };
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            // A connection ends with the proxy.
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.spawn(line.clone().serve(connection));
            }
        });
        AwsProxy {
            endpoint_url,
            script,
            _accepting: accepting,
        }
    }

    /// The next requests of this action meet these faults, one each.
    pub(crate) fn script(&self, action: &str, faults: impl IntoIterator<Item = Fault>) {
        let mut script = lock(&self.script);
        let of_action = script.faults.entry(action.to_owned()).or_default();
        of_action.extend(faults);
    }

    /// Every request beyond the script meets a fault that is drawn; none is kept from now on.
    pub(crate) fn draw(&self, drawing: impl FnMut(&str, usize) -> Fault + Send + 'static) {
        lock(&self.script).drawing = Some(Box::new(drawing));
    }

    /// Every request of an action that came, in order.
    pub(crate) fn seen(&self, action: &str) -> Vec<Seen> {
        let script = lock(&self.script);
        let of_action = script.seen.iter().filter(|it| it.action == action);
        of_action.cloned().collect()
    }

    /// Whether every fault was met.
    pub(crate) fn is_played(&self) -> bool {
        lock(&self.script).faults.values().all(VecDeque::is_empty)
    }
}

/// Storms draw, the others do not; it is no dead code.
const _: fn(&AwsProxy) = |proxy| proxy.draw(|_, _| Fault::Pass);

fn lock(script: &Mutex<Script>) -> MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone)]
struct Line {
    upstream: String,
    client: reqwest::Client,
    script: Arc<Mutex<Script>>,
}

struct Request {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Line {
    async fn serve(self, connection: TcpStream) {
        let mut connection = BufReader::new(connection);
        while let Some(request) = read(&mut connection).await {
            let Some((status, body)) = self.answer(request, connection.get_ref()).await else {
                return;
            };
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let connection = connection.get_mut();
            if connection.write_all(head.as_bytes()).await.is_err()
                || connection.write_all(&body).await.is_err()
            {
                return;
            }
        }
    }

    /// `None`: the connection is closed.
    async fn answer(&self, mut request: Request, connection: &TcpStream) -> Option<(u16, Vec<u8>)> {
        let target = request
            .headers
            .iter()
            .find(|(name, _)| name == "x-amz-target");
        let target = target.map(|(_, value)| value.as_str()).unwrap_or_default();
        let action = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match self.next(&action, &body) {
            Fault::Pass => Some(self.forward(&request).await),
            Fault::Refuse { status, code } => Some((status, error(code))),
            Fault::RefuseRecords { places, code } => {
                let n_records = body["Records"].as_array().map_or(0, Vec::len);
                let (status, answer) = match places.len() < n_records {
                    true => {
                        request.body = without(body, &places);
                        self.forward(&request).await
                    }
                    // A server takes no put without records.
                    false => (200, json!({"Records": []}).to_string().into_bytes()),
                };
                Some((status, with_failures(&answer, &places, code)))
            }
            Fault::DenyRecords { places, code } => {
                let (status, answer) = self.forward(&request).await;
                let kept = without(serde_json::from_slice(&answer).unwrap(), &places);
                Some((status, with_failures(&kept, &places, code)))
            }
            Fault::LoseReply => {
                self.forward(&request).await;
                None
            }
            Fault::Lose => None,
            Fault::FailAfter => {
                self.forward(&request).await;
                Some((500, error("InternalFailure")))
            }
            Fault::Reset => {
                connection.set_zero_linger().unwrap();
                None
            }
            Fault::Delay(delay) => {
                let answer = self.forward(&request).await;
                tokio::time::sleep(delay).await;
                Some(answer)
            }
            Fault::Tell { name, value } => {
                let (status, answer) = self.forward(&request).await;
                let mut answer: Value = serde_json::from_slice(&answer).unwrap();
                answer[name] = value;
                Some((status, answer.to_string().into_bytes()))
            }
        }
    }

    fn next(&self, action: &str, body: &Value) -> Fault {
        let mut script = lock(&self.script);
        if script.drawing.is_none() {
            script.seen.push(Seen {
                action: action.to_owned(),
                body: body.clone(),
            });
        }
        let of_action = script.faults.get_mut(action);
        let scripted = of_action.and_then(VecDeque::pop_front);
        let n_records = body["Records"].as_array().map_or(0, Vec::len);
        let mut draw = || script.drawing.as_mut().map(|it| it(action, n_records));
        scripted.or_else(&mut draw).unwrap_or(Fault::Pass)
    }

    async fn forward(&self, request: &Request) -> (u16, Vec<u8>) {
        let mut forwarded = self.client.post(&self.upstream).body(request.body.clone());
        for (name, value) in &request.headers {
            if !matches!(
                name.as_str(),
                "host" | "content-length" | "connection" | "expect"
            ) {
                forwarded = forwarded.header(name, value);
            }
        }
        let answer = forwarded.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.bytes().await.unwrap().to_vec())
    }
}

/// One request of HTTP/1.1 with a length; `None` at the end of the connection.
async fn read(connection: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    if connection.read_line(&mut line).await.ok()? == 0 {
        return None;
    }
    let mut headers = Vec::new();
    loop {
        line.clear();
        connection.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await.ok()?;
    Some(Request { headers, body })
}

fn error(code: &str) -> Vec<u8> {
    json!({"__type": code, "message": "as the script says"})
        .to_string()
        .into_bytes()
}

/// The `Records` without those at these places.
fn without(mut body: Value, places: &[usize]) -> Vec<u8> {
    let records = body["Records"].as_array().unwrap();
    let kept = records
        .iter()
        .enumerate()
        .filter(|(place, _)| !places.contains(place));
    body["Records"] = kept.map(|(_, record)| record.clone()).collect();
    body.to_string().into_bytes()
}

/// An answer to `PutRecords` with failures put in at these places.
fn with_failures(answer: &[u8], places: &[usize], code: &str) -> Vec<u8> {
    let mut answer: Value = serde_json::from_slice(answer).unwrap();
    let records = answer["Records"].as_array_mut().unwrap();
    for place in places {
        let failure = json!({"ErrorCode": code, "ErrorMessage": "as the script says"});
        records.insert(*place, failure);
    }
    answer["FailedRecordCount"] = json!(places.len());
    answer.to_string().into_bytes()
}
