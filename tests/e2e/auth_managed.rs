//! Callers that somebody else vouches for: certificates of an authority, tokens of an issuer. What
//! proves nothing is refused, and what changes is in force without a restart.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as B64;
use fraudplat::substrate::auth::client::{Credential, Outgoing, Trust};
use rcgen::{CertificateParams, Issuer, KeyPair, SanType, date_time_ymd};
use reqwest::Method;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::events::{JSON, Port, Till, till};
use crate::home::{DONE, Home, LONG, until};
use crate::shop;

const SERVER: &str = "fraudplat.test";

/// A certificate authority whose files lie beside the data directory.
struct Authority<'h> {
    home: &'h Home,
    issuer: Issuer<'static, KeyPair>,
    ca_file: PathBuf,
}

impl<'h> Authority<'h> {
    fn new(home: &'h Home, name: &str) -> Authority<'h> {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let ca_file = home.file(
            &format!("{name}.pem"),
            &params.self_signed(&key).unwrap().pem(),
        );
        let issuer = Issuer::new(params, key);
        Authority {
            home,
            issuer,
            ca_file,
        }
    }

    /// The files of a certificate with this name: a URI, or of DNS.
    fn sign(&self, file: &str, name: &str, last_year: i32) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new([]).unwrap();
        params.subject_alt_names.push(match name.contains("://") {
            true => SanType::URI(name.try_into().unwrap()),
            false => SanType::DnsName(name.try_into().unwrap()),
        });
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(last_year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = self
            .home
            .file(&format!("{file}.key.pem"), &key.serialize_pem());
        (
            self.home.file(&format!("{file}.pem"), &certificate.pem()),
            key,
        )
    }
}

/// A client of the port under TLS.
struct Client {
    outgoing: Outgoing,
    runtime: Runtime,
}

impl Client {
    fn new(addr: &str, ca_file: &Path, shown: Option<&(PathBuf, PathBuf)>) -> Client {
        let credential = shown.map_or(Credential::Nobody, |(cert_file, key_file)| {
            Credential::Certificate {
                cert_file: cert_file.clone(),
                key_file: key_file.clone(),
            }
        });
        let trust = Trust {
            ca_file: ca_file.to_owned(),
            server_name: SERVER.to_owned(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        Client {
            outgoing: Outgoing::to(addr, credential, Some(trust)).unwrap(),
            runtime: runtime.unwrap(),
        }
    }

    /// The status, or 0 where there is no connection.
    fn ask(&self, method: Method, path: &str, body: String) -> u16 {
        let request = self.outgoing.request(method, path).body(body);
        // Within the runtime: a request with a limit of time sets its timer when it is made.
        let answer = self.runtime.block_on(async { request.send().await });
        answer.map_or(0, |it| it.status().as_u16())
    }

    fn send(&self, till: &Till, id: &str) -> u16 {
        self.ask(
            Method::POST,
            "/v1/events",
            till.traffic(id, 900).to_string(),
        )
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn rotations(home: &Home, secret: &str) -> usize {
    let listed = home.json(&["gov", "facts", "--type", "SECRET_ROTATED"]);
    let facts = listed.as_array().unwrap().iter();
    facts.filter(|it| it["details"]["secret"] == secret).count()
}

const CALLERS: &str = "callers:
  - {subject: 'spiffe://bank/till', actor_id: 'till:1', source_type: SYSTEM, roles: [producer]}
  - {subject: wsp.bank.test, actor_id: 'svc:wsp', source_type: SYSTEM, roles: ['svc:wsp', operator]}
";

#[test]
fn only_a_listed_certificate_of_the_authority_gets_through() {
    let dir = Home::new();
    let (bank, other) = (Authority::new(&dir, "bank"), Authority::new(&dir, "other"));
    let (cert, key) = bank.sign("server", SERVER, 2100);
    let callers = dir.file("callers.yaml", CALLERS);
    let own = bank.sign("wsp", "wsp.bank.test", 2100);
    let home = Home::with(&[
        ("FRAUDPLAT__ENVIRONMENT", "dev"),
        ("FRAUDPLAT__RECONCILE__SCHEDULE", "0 3 * * *"),
        ("FRAUDPLAT__AUTH__MODE", "mtls"),
        ("FRAUDPLAT__HTTP__TLS__CERT_FILE", text(&cert)),
        ("FRAUDPLAT__HTTP__TLS__KEY_FILE", text(&key)),
        ("FRAUDPLAT__HTTP__TLS__CA_FILE", text(&bank.ca_file)),
        ("FRAUDPLAT__HTTP__TLS__SERVER_NAME", SERVER),
        ("FRAUDPLAT__AUTH__MTLS__CLIENT_CA_FILE", text(&bank.ca_file)),
        ("FRAUDPLAT__AUTH__MTLS__CALLERS_FILE", text(&callers)),
        ("FRAUDPLAT__AUTH__CREDENTIAL__CERT_FILE", text(&own.0)),
        ("FRAUDPLAT__AUTH__CREDENTIAL__KEY_FILE", text(&own.1)),
    ]);
    let mut all = home.start(&["--role", "all"]);
    let addr = all.listening();
    // The owner's token over TLS, and the streamer with its certificate.
    let till = till(&home, "till");
    let shop = shop::open(&home, 50);
    home.json(&["wsp", "stream", "--run", &shop.run]);

    let client = |shown: &(PathBuf, PathBuf)| Client::new(&addr, &bank.ca_file, Some(shown));
    let tills = bank.sign("till", "spiffe://bank/till", 2100);
    let good = client(&tills);
    assert_eq!(good.send(&till, "a"), 200);
    let progress = format!("/v1/runs/{}/progress", till.run);
    assert_eq!(good.ask(Method::GET, &progress, String::new()), 403);
    assert_eq!(client(&own).ask(Method::GET, &progress, String::new()), 200);
    let unlisted = client(&bank.sign("ann", "spiffe://bank/ann", 2100));
    assert_eq!(unlisted.send(&till, "b"), 401);
    let nobody = Client::new(&addr, &bank.ca_file, None);
    assert_eq!(nobody.send(&till, "b"), 401);
    assert_eq!(nobody.ask(Method::GET, "/healthz", String::new()), 200);
    // No connection at all.
    assert_eq!(
        client(&bank.sign("old", "spiffe://bank/till", 2021)).send(&till, "b"),
        0
    );
    assert_eq!(
        client(&other.sign("forged", "spiffe://bank/till", 2100)).send(&till, "b"),
        0
    );
    assert_eq!(
        Client::new(&addr, &other.ca_file, Some(&tills)).send(&till, "b"),
        0
    );
    assert!(
        Port::at(&addr, "x")
            .try_get("/healthz")
            .is_none_or(|it| it.status >= 400)
    );
    refused_handshakes_are_a_fact(&home);

    // Another certificate of the server, and a caller who is none any more.
    bank.sign("server", SERVER, 2101);
    dir.file("callers.yaml", &CALLERS.replace("bank/till", "bank/till-2"));
    until("the end of the caller", LONG, || {
        (good.send(&till, "c") == 401).then_some(())
    });
    until("the facts", LONG, || {
        let n = rotations(&home, "server_tls") + rotations(&home, "certificate_callers");
        (n >= 2).then_some(())
    });
    let next = client(&bank.sign("till-2", "spiffe://bank/till-2", 2100));
    assert_eq!(next.send(&till, "c"), 200);
    all.stop(Signal::TERM).expect(DONE);
}

fn refused_handshakes_are_a_fact(home: &Home) {
    until("the fact of the refused handshakes", LONG, || {
        let facts = home.json(&["gov", "facts", "--type", "CORRIDOR_DENIED"]);
        let mut facts = facts.as_array().unwrap().iter();
        let caller = "anonymous/certificate/untrusted";
        facts
            .any(|it| it["details"]["caller"] == caller)
            .then_some(())
    });
}

/// The identity provider.
struct Issuing {
    key: Ed25519KeyPair,
    kid: &'static str,
}

impl Issuing {
    fn new(kid: &'static str) -> Issuing {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        Issuing { key, kid }
    }

    fn jwks(&self) -> String {
        let x = B64.encode(self.key.public_key());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": x}]}).to_string()
    }

    /// A token for a subject that ends so many seconds from now, and differs in one claim.
    fn token(&self, subject: &str, seconds: i64, change: Option<(&str, Value)>) -> String {
        let exp = jiff::Timestamp::now().as_second() + seconds;
        let mut claims =
            json!({"iss": "https://id.test", "aud": "fraudplat", "sub": subject, "exp": exp});
        if let Some((name, value)) = change {
            claims[name] = value;
        }
        let header = json!({"alg": "EdDSA", "kid": self.kid}).to_string();
        let message = format!("{}.{}", B64.encode(header), B64.encode(claims.to_string()));
        format!(
            "{message}.{}",
            B64.encode(self.key.sign(message.as_bytes()))
        )
    }
}

/// A good token with one fault, each.
fn faulty(first: &Issuing, next: &Issuing) -> [(&'static str, String); 9] {
    let good = first.token("till", 600, None);
    let (head, _) = good.rsplit_once('.').unwrap();
    [
        ("nothing", String::new()),
        ("unsigned", format!("{head}.")),
        ("of another key", next.token("till", 600, None)),
        ("expired", first.token("till", -31, None)),
        (
            "of another issuer",
            first.token("till", 600, Some(("iss", json!("https://other.test")))),
        ),
        (
            "for another",
            first.token("till", 600, Some(("aud", json!("other")))),
        ),
        (
            "not yet",
            first.token("till", 600, Some(("nbf", json!(i64::from(u32::MAX))))),
        ),
        (
            "without end",
            first.token("till", 600, Some(("exp", Value::Null))),
        ),
        ("of nobody listed", first.token("ann", 600, None)),
    ]
}

#[test]
fn only_a_token_of_the_issuer_for_this_audience_gets_through() {
    let dir = Home::new();
    let (first, next) = (Issuing::new("k1"), Issuing::new("k2"));
    let callers = dir.file(
        "callers.yaml",
        &CALLERS.replace("spiffe://bank/till", "till"),
    );
    let jwks = dir.file("jwks.json", &first.jwks());
    let own = dir.file("wsp.token", &first.token("wsp.bank.test", 3_600, None));
    let home = Home::with(&[
        ("FRAUDPLAT__ENVIRONMENT", "dev"),
        ("FRAUDPLAT__RECONCILE__SCHEDULE", "0 3 * * *"),
        ("FRAUDPLAT__AUTH__MODE", "service_token"),
        ("FRAUDPLAT__AUTH__SERVICE_TOKEN__JWKS_FILE", text(&jwks)),
        (
            "FRAUDPLAT__AUTH__SERVICE_TOKEN__CALLERS_FILE",
            text(&callers),
        ),
        ("FRAUDPLAT__AUTH__SERVICE_TOKEN__ISSUER", "https://id.test"),
        ("FRAUDPLAT__AUTH__SERVICE_TOKEN__AUDIENCE", "fraudplat"),
        ("FRAUDPLAT__AUTH__SERVICE_TOKEN__SKEW_S", "30"),
        ("FRAUDPLAT__AUTH__CREDENTIAL__BEARER_FILE", text(&own)),
    ]);
    let mut all = home.start(&["--role", "all"]);
    let port = Port::at(&all.listening(), "");
    let till = till(&home, "till");
    let shop = shop::open(&home, 50);
    home.json(&["wsp", "stream", "--run", &shop.run]);
    let status = |token: &str, id: &str| {
        let body = till.traffic(id, 900).to_string();
        port.with_key(token).post("/v1/events", JSON, body).status
    };
    let good = first.token("till", 600, None);
    assert_eq!(status(&good, "a"), 200);
    for (what, token) in faulty(&first, &next) {
        assert_eq!(status(&token, "b"), 401, "{what}");
    }
    let path = format!("/v1/runs/{}/progress", till.run);
    assert_eq!(port.with_key(&good).get(&path).status, 403);

    // The issuer takes another key; the streamer's file has a token of it.
    dir.file("jwks.json", &next.jwks());
    dir.file("wsp.token", &next.token("wsp.bank.test", 3_600, None));
    until("the end of the first key", LONG, || {
        (status(&good, "b") == 401).then_some(())
    });
    assert_eq!(status(&next.token("till", 600, None), "b"), 200);
    home.json(&["wsp", "stream", "--run", &shop::open(&home, 60).run]);
    until("the fact", LONG, || {
        (rotations(&home, "token_jwks") == 1).then_some(())
    });
    all.stop(Signal::TERM).expect(DONE);
}
