//! Requests that no honest client sends: none is answered with a fault of the server, none hangs, none
//! costs memory that stays, and none opens a way round the door.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use rustix::process::Signal;

use crate::events::{till, words};
use crate::home::{DONE, Home, LONG};

/// What sixteen rounds may add to the mean of eight, in kB: the requests that are under way differ by a few MB.
const KEPT: u64 = 16 << 10;

/// A request as bytes, with a word for what it tries.
struct Attack {
    what: String,
    bytes: Vec<u8>,
}

struct Attacks {
    key: String,
    run: String,
    all: Vec<Attack>,
}

impl Attacks {
    fn add(&mut self, what: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        let (what, bytes) = (what.into(), bytes.into());
        self.all.push(Attack { what, bytes });
    }

    fn head(&self, first: &str, more: &str) -> String {
        let key = &self.key;
        format!("{first} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n{more}\r\n")
    }

    /// A whole POST of events with this body.
    fn post(&mut self, what: impl Into<String>, headers: &str, body: &[u8]) {
        let length = format!("content-length: {}\r\n{headers}", body.len());
        let mut bytes = self.head("POST /v1/events", &length).into_bytes();
        bytes.extend_from_slice(body);
        self.add(what, bytes);
    }

    /// Two readers that disagree where a request ends would let one smuggle a second.
    fn framings(&mut self) {
        let lengths = [
            "content-length: 3\r\ncontent-length: 4\r\n",
            "content-length: 3\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 3\r\n",
            "transfer-encoding: xchunked\r\n",
            "transfer-encoding: chunked, identity\r\n",
            "transfer-encoding: identity, chunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding:\x0bchunked\r\n",
            "transfer-encoding : chunked\r\n",
            " transfer-encoding: chunked\r\n",
            "content-length: -1\r\n",
            "content-length: +3\r\n",
            "content-length: 0x3\r\n",
            "content-length: 3,3\r\n",
            "content-length: 18446744073709551616\r\n",
            "content-length: 99999999999\r\n",
            "content-length:\r\n",
            "content-length: 3\n\r\n",
            "x: a\r\n b\r\n",
            "x: a\0b\r\n",
            "x\0: a\r\n",
            ": a\r\n",
            "expect: 200-maybe\r\n",
            "upgrade: h2c\r\nconnection: upgrade\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
            "connection: close, content-length\r\ncontent-length: 3\r\n",
        ];
        for length in lengths {
            let smuggled = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
            let head = self.head("POST /v1/events", length);
            self.add(
                format!("framing {length:?}"),
                format!("{head}{{}}{smuggled}"),
            );
        }
        let chunks = [
            "0\r\n\r\n",
            "FFFFFFFFFFFFFFFFF\r\n",
            "-1\r\n{}\r\n",
            "2;x=\"\r\n{}\r\n0\r\n\r\n",
            "2\n{}\n0\n\n",
            "2\r\n{}0\r\n\r\n",
            "zz\r\n",
            "2\r\n{}\r\n0\r\ncontent-length: 9\r\n\r\n",
        ];
        for chunk in chunks {
            let head = self.head("POST /v1/events", "transfer-encoding: chunked\r\n");
            self.add(format!("chunks {chunk:?}"), head + chunk);
        }
        let extension = format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(200_000));
        let head = self.head("POST /v1/events", "transfer-encoding: chunked\r\n");
        self.add("a long chunk extension", head + &extension);
    }

    fn heads(&mut self) {
        for raw in [
            "\r\n\r\n",
            "GET /healthz\r\n\r\n",
            "GET  /healthz HTTP/1.1\r\n\r\n",
            "GET /healthz HTTP/9.9\r\n\r\n",
            "GET /healthz HTTP/1.1\nhost: localhost\n\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "\x16\x03\x01\x02\x00\x01\x00\x01\x03\x03",
            "GET http://evil.test/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n",
            "GET /healthz HTTP/1.1\r\nhost: evil.test\r\n\r\n",
            "GET /healthz HTTP/1.1\r\nhost: localhost\r\nhost: evil.test\r\n\r\n",
            "CONNECT localhost:5432 HTTP/1.1\r\nhost: localhost\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n",
        ] {
            self.add(format!("head {raw:?}"), raw);
        }
        let many = "a: b\r\n".repeat(5_000);
        let head = self.head("GET /healthz", &many);
        self.add("thousands of headers", head);
        let head = self.head("GET /healthz", &format!("a: {}\r\n", "b".repeat(1 << 20)));
        self.add("a header of a megabyte", head);
        let head = self.head(&format!("GET /{}", "a".repeat(200_000)), "");
        self.add("a path of 200,000 bytes", head);
        for method in [
            "PUT", "DELETE", "PATCH", "TRACE", "HEAD", "get", "GETT", "\x01",
        ] {
            for path in ["/v1/events", "/v1/commands", "/healthz"] {
                let head = self.head(&format!("{method} {path}"), "content-length: 0\r\n");
                self.add(format!("{method:?} {path}"), head);
            }
        }
    }

    fn paths(&mut self) {
        let run = self.run.clone();
        let names = [
            "../../etc/passwd",
            "..%2f..%2fetc%2fpasswd",
            "%2e%2e/%2e%2e/etc/passwd",
            "....//....//etc/passwd",
            "%00",
            "run_%00",
            "run_",
            "run_zz",
            "%ff%fe",
            "'%20OR%201=1--",
            "%0d%0aset-cookie:%20a=b",
            "\u{202e}nur",
            "%252e%252e%252f",
            "a%5cb",
        ];
        let long = "a".repeat(10_000);
        for name in names.iter().copied().chain([long.as_str()]) {
            for path in [
                format!("/v1/runs/{name}/progress"),
                format!("/v1/runs/{name}/report"),
                format!("/v1/receipts/{name}/traffic/a"),
                format!("/v1/receipts/{run}/{name}/a"),
                format!("/v1/quarantine/{run}/{name}"),
                format!("/v1/decisions/{name}"),
                format!("/v1/schemas/{name}/1"),
            ] {
                let shown: String = path.chars().take(60).collect();
                let head = self.head(&format!("GET {path}"), "");
                self.add(format!("path {shown}"), head);
            }
        }
        for query in [
            "limit=-1",
            "limit=99999999999999999999",
            "after=%ff",
            "limit=1&limit=2",
            "a",
            "&&=&",
        ] {
            for of in ["receipts", "quarantine"] {
                let head = self.head(&format!("GET /v1/{of}/{run}?{query}"), "");
                self.add(format!("query {of}?{query}"), head);
            }
        }
    }

    fn proofs(&mut self) {
        let key = self.key.clone();
        let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJvcGVyYXRvciJ9.";
        let long = "a".repeat(100_000);
        for proof in [
            String::new(),
            "Bearer".to_owned(),
            "Bearer ".to_owned(),
            format!("bearer{key}"),
            format!("Bearer {key}x"),
            format!("Bearer {}", key.to_uppercase()),
            format!("Bearer {key} {key}"),
            format!("Token {key}"),
            format!("Bearer {none}"),
            "Basic !!!".to_owned(),
            "Basic /////w==".to_owned(),
            "Basic Og==".to_owned(),
            format!("Bearer {long}"),
            "Bearer \u{fc}".to_owned(),
        ] {
            for path in ["POST /v1/events", "GET /v1/schemas", "POST /v1/commands"] {
                let shown: String = proof.chars().take(20).collect();
                let request = format!(
                    "{path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {proof}\r\ncontent-length: 0\r\n\r\n"
                );
                self.add(format!("proof {shown} {path}"), request);
            }
        }
        let twice = format!(
            "GET /v1/schemas HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer x\r\nauthorization: Bearer {key}\r\n\r\n"
        );
        self.add("proof twice", twice);
    }

    fn bodies(&mut self) {
        let deep = |open: &str, n: usize| open.repeat(n).into_bytes();
        let bodies: [(&str, Vec<u8>); 18] = [
            ("deep arrays", deep("[", 100_000)),
            ("deep objects", deep("{\"a\":", 100_000)),
            ("nothing", Vec::new()),
            ("a huge number", b"{\"event_id\": 1e999999999}".to_vec()),
            (
                "many digits",
                [b"[", "9".repeat(100_000).as_bytes(), b"]"].concat(),
            ),
            ("no number", b"[NaN, Infinity, -0]".to_vec()),
            ("the same key twice", b"{\"a\":1,\"a\":2}".to_vec()),
            ("no UTF-8", vec![0xff; 1_000]),
            ("a byte order mark", b"\xef\xbb\xbf{}".to_vec()),
            ("a lone surrogate", b"{\"event_id\":\"\\ud800\"}".to_vec()),
            ("zeros", vec![0; 100_000]),
            ("lines of nothing", vec![b'\n'; 100_000]),
            (
                "too many items",
                format!("[{}0]", "0,".repeat(6_000)).into_bytes(),
            ),
            (
                "a long string",
                format!("[\"{}\"]", "a".repeat(1 << 20)).into_bytes(),
            ),
            (
                "a long key",
                format!("{{\"{}\":1}}", "a".repeat(1 << 20)).into_bytes(),
            ),
            ("half of it", b"[{\"event_id\":\"a\"".to_vec()),
            ("comments", b"/* */ [] // x".to_vec()),
            ("true", b"true".to_vec()),
        ];
        for (what, body) in &bodies {
            for kind in ["application/json", "application/x-ndjson", "text/plain"] {
                self.post(
                    format!("{what} as {kind}"),
                    &format!("content-type: {kind}\r\n"),
                    body,
                );
            }
        }
        let zeros = vec![0; 64 << 20];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&zeros).unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = zstd::encode_all(zeros.as_slice(), 1).unwrap();
        for (coding, bomb) in [("gzip", &gzip), ("zstd", &zstd)] {
            let header = format!("content-encoding: {coding}\r\n");
            self.post(format!("a bomb in {coding}"), &header, bomb);
            self.post(
                format!("half a bomb in {coding}"),
                &header,
                &bomb[..bomb.len() / 2],
            );
            self.post(format!("no {coding}"), &header, b"{}");
            self.post(
                format!("twice {coding}"),
                &format!("{header}{header}"),
                bomb,
            );
        }
        self.post("an unknown coding", "content-encoding: br\r\n", b"{}");
        let head = self.head("POST /v1/events", "content-length: 100\r\n");
        self.add("less than it says", head + "{}");
    }
}

/// Sends all of it, closes its side, and reads until the port closes: the statuses that were answered.
fn strike(addr: &str, attack: &Attack) -> Vec<u16> {
    let mut connection = TcpStream::connect(addr).unwrap();
    connection.set_read_timeout(Some(LONG)).unwrap();
    connection.set_write_timeout(Some(LONG)).unwrap();
    // The port may close before it has read all.
    drop(connection.write_all(&attack.bytes));
    drop(connection.shutdown(Shutdown::Write));
    let mut said = Vec::new();
    let mut part = [0; 65_536];
    loop {
        match connection.read(&mut part) {
            Ok(0) => break,
            Ok(n) => said.extend_from_slice(&part[..n]),
            Err(error) => {
                let is_hang = error.kind() == std::io::ErrorKind::WouldBlock;
                assert!(!is_hang, "{}: no end within {LONG:?}", attack.what);
                break;
            }
        }
    }
    let text = String::from_utf8_lossy(&said);
    let lines = text.split("HTTP/1.").skip(1);
    lines.filter_map(|it| it.get(2..5)?.parse().ok()).collect()
}

/// Resident, in kB.
fn memory(home: &Home) -> u64 {
    let pid = std::fs::read_to_string(home.data().join("LOCK")).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap();
    let line = status.lines().find(|it| it.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn hostile_requests_are_refused_and_cost_nothing_that_stays() {
    let home = Home::new();
    // What is given back leaves at once, so what is resident is held: by default the allocator keeps
    // pages for later, and how many differs by 100 MB from machine to machine.
    let mut all = home.start_with(&["--role", "all"], &[("MIMALLOC_PURGE_DELAY", "0")]);
    let addr = all.listening();
    let till = till(&home, "till");
    let mut attacks = Attacks {
        key: home.key("local").trim().to_owned(),
        run: till.run.clone(),
        all: Vec::new(),
    };
    attacks.framings();
    attacks.heads();
    attacks.paths();
    attacks.proofs();
    attacks.bodies();
    assert!(attacks.all.len() >= 200, "{}", attacks.all.len());

    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    let round = |statuses: &mut BTreeMap<u16, usize>| {
        for attack in &attacks.all {
            for status in strike(&addr, attack) {
                assert!(status < 500, "{}: {status}", attack.what);
                *statuses.entry(status).or_default() += 1;
            }
        }
        memory(&home)
    };
    let used: Vec<u64> = (0..32).map(|_| round(&mut statuses)).collect();
    let mean = |rounds: &[u64]| rounds.iter().sum::<u64>() / rounds.len() as u64;
    let (early, late) = (mean(&used[8..16]), mean(&used[24..]));
    assert!(
        late < early + KEPT,
        "from {early} to {late}, in kB: {used:?}"
    );
    assert!(statuses[&400] > 0 && statuses[&401] > 0, "{statuses:?}");

    // Nothing of it was received, and honest events are.
    let verdicts = home.port(&addr).send(&[till.traffic("a", 1_200)]);
    assert_eq!(words(&verdicts[0]), "ADMITTED");
    let metrics = home.port(&addr).get("/metrics");
    assert_eq!(metrics.status, 200);
    all.stop(Signal::TERM).expect(DONE);
}
