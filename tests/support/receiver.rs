//! A receiver of webhooks as somebody else would write it: it checks the signature by the recipe of
//! `docs/actions.md`, applies each key once, and misbehaves as it is told.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ring::hmac;
use serde_json::Value;

/// How one call is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Applied and answered.
    Take,
    /// Answered with this status and nothing applied.
    Answer(u16),
    /// Applied and answered after a while.
    Late(Duration),
    /// The connection is closed before anything is applied.
    HangUp,
    /// Applied, and the connection closed before a word of the answer.
    CutAfter,
    /// Applied, and the connection closed within the answer.
    CutWithin,
}

/// One call as it came.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// From 1, over all keys.
    pub(crate) no: u64,
    pub(crate) key: String,
    pub(crate) attempt: u64,
    pub(crate) body: Value,
}

#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) calls: u64,
    /// Of each key that was applied, its body; a repeat is applied no second time.
    pub(crate) applied: BTreeMap<String, Vec<u8>>,
    pub(crate) repeats: u64,
    /// What no receiver should ever see.
    pub(crate) faults: Vec<String>,
}

type Treat = dyn Fn(&Call) -> Manner + Send + Sync;

pub(crate) struct Receiver {
    addr: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl Receiver {
    /// Listens until the process ends. `secret` is the one that calls must be signed with.
    pub(crate) fn open(
        secret: &str,
        treat: impl Fn(&Call) -> Manner + Send + Sync + 'static,
    ) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let (kept, secret) = (Arc::clone(&seen), secret.to_owned());
        let treat: Arc<Treat> = Arc::new(treat);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, secret) = (Arc::clone(&kept), secret.clone());
                let treat = Arc::clone(&treat);
                std::thread::spawn(move || serve(stream, &secret, &seen, treat.as_ref()));
            }
        });
        Receiver { addr, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hooks/fraud", self.addr)
    }

    pub(crate) fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.lock().unwrap())
    }
}

/// Serves a connection until it is closed by either side. What a killed caller leaves half sent is no call.
fn serve(stream: TcpStream, secret: &str, seen: &Mutex<Seen>, treat: &Treat) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let (head, body) = request(&mut reader)?;
        let call = {
            let mut seen = seen.lock().unwrap();
            seen.calls += 1;
            let no = seen.calls;
            match read(no, &head, &body, secret) {
                Ok(call) => call,
                Err(fault) => {
                    seen.faults.push(fault);
                    return None;
                }
            }
        };
        let manner = treat(&call);
        if let Manner::Late(pause) = manner {
            std::thread::park_timeout(pause);
        }
        let status = match manner {
            Manner::HangUp => return None,
            Manner::Answer(status) => status,
            _ => {
                apply(&mut seen.lock().unwrap(), &call, &body);
                200
            }
        };
        match manner {
            Manner::CutAfter => return None,
            Manner::CutWithin => {
                writer
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok")
                    .ok()?;
                return None;
            }
            _ => {
                let answer = format!("HTTP/1.1 {status} Word\r\ncontent-length: 2\r\n\r\nok");
                writer.write_all(answer.as_bytes()).ok()?;
            }
        }
    }
}

fn apply(seen: &mut Seen, call: &Call, body: &[u8]) {
    match seen.applied.get(&call.key) {
        None => {
            seen.applied.insert(call.key.clone(), body.to_vec());
        }
        Some(first) => {
            if first != body {
                let fault = format!("{} came with another body", call.key);
                seen.faults.push(fault);
            }
            seen.repeats += 1;
        }
    }
}

/// The head's fields in lowercase, and the body.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(BTreeMap<String, String>, Vec<u8>)> {
    let mut fields = BTreeMap::new();
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    fields.insert(":request".to_owned(), line.trim().to_owned());
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        fields.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let n_bytes = fields.get("content-length")?.parse().ok()?;
    let mut body = vec![0; n_bytes];
    reader.read_exact(&mut body).ok()?;
    Some((fields, body))
}

fn read(
    no: u64,
    head: &BTreeMap<String, String>,
    body: &[u8],
    secret: &str,
) -> Result<Call, String> {
    let field = |name: &str| head.get(name).ok_or(format!("call {no} has no {name}"));
    let line = field(":request")?;
    if line != "POST /hooks/fraud HTTP/1.1" || field("content-type")? != "application/json" {
        return Err(format!("call {no}: {line}"));
    }
    verify(field("fraudplat-signature")?, body, secret)
        .ok_or(format!("call {no} is not signed as it should be"))?;
    let key = field("idempotency-key")?.clone();
    let parsed: Value = serde_json::from_slice(body).map_err(|cause| cause.to_string())?;
    if parsed["action_intent_id"] != key.as_str() {
        return Err(format!("call {no}: the key is {key}, the body {parsed}"));
    }
    let attempt = field("fraudplat-attempt")?.parse();
    Ok(Call {
        no,
        key,
        attempt: attempt.map_err(|cause| format!("call {no}: {cause}"))?,
        body: parsed,
    })
}

/// The recipe: the time is near, and one of the signatures is ours.
fn verify(header: &str, body: &[u8], secret: &str) -> Option<()> {
    let mut fields = header.split(',').filter_map(|it| it.split_once('='));
    let (_, second) = fields.next().filter(|(name, _)| *name == "t")?;
    let now = jiff::Timestamp::now().as_second();
    second
        .parse::<i64>()
        .ok()
        .filter(|at| (now - at).abs() < 300)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signed = [second.as_bytes(), b".", body].concat();
    let is_ours = |hex: &str| {
        let tag = (0..hex.len()).step_by(2);
        let tag: Option<Vec<u8>> = tag
            .map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok())
            .collect();
        tag.is_some_and(|tag| hmac::verify(&key, &signed, &tag).is_ok())
    };
    fields
        .any(|(name, hex)| name == "v1" && is_ours(hex))
        .then_some(())
}
