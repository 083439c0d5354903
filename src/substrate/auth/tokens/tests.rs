//! Tokens that hold, and every way in which one does not: each is a good token with one fault.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as B64;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::{Value, json};

use super::*;

const NOW_S: i64 = 1_700_000_000;

enum Signer {
    Ed(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
}

impl Signer {
    fn ed() -> Signer {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Signer::Ed(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
    }

    fn ec() -> Signer {
        let (with, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(with, &random).unwrap();
        Signer::Ec(EcdsaKeyPair::from_pkcs8(with, pkcs8.as_ref(), &random).unwrap())
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Signer::Ed(it) => it.sign(message).as_ref().to_vec(),
            Signer::Ec(it) => it
                .sign(&SystemRandom::new(), message)
                .unwrap()
                .as_ref()
                .to_vec(),
        }
    }

    fn jwk(&self, kid: &str) -> Value {
        match self {
            Signer::Ed(it) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "use": "sig", "x": B64.encode(it.public_key())})
            }
            Signer::Ec(it) => {
                let (x, y) = it.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256", "x": B64.encode(x), "y": B64.encode(y)})
            }
        }
    }

    /// A token of these raw texts.
    fn raw(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", B64.encode(header), B64.encode(claims));
        format!("{message}.{}", B64.encode(self.sign(message.as_bytes())))
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        self.raw(&header.to_string(), &claims.to_string())
    }
}

fn header(alg: &str, kid: &str) -> Value {
    json!({"alg": alg, "kid": kid, "typ": "JWT"})
}

fn claims() -> Value {
    json!({"iss": "https://id.test", "aud": "fraudplat", "sub": "till", "exp": NOW_S + 60})
}

fn with(changes: Value) -> Value {
    let mut all = claims();
    for (name, value) in changes.as_object().unwrap() {
        if value == "absent" {
            all.as_object_mut().unwrap().remove(name);
        } else {
            all[name] = value.clone();
        }
    }
    all
}

fn rules() -> Rules {
    Rules {
        issuer: "https://id.test".to_owned(),
        audience: "fraudplat".to_owned(),
        skew_s: 30,
    }
}

fn jwks(keys: &[Value]) -> Jwks {
    Jwks::parse(&json!({"keys": keys}).to_string()).unwrap()
}

fn verify(jwks: &Jwks, token: &str) -> Result<String, CredentialFault> {
    jwks.verify(token, &rules(), Time::from_micros(NOW_S * MICROS))
}

#[test]
fn a_good_token_names_its_subject() {
    let (ed, ec) = (Signer::ed(), Signer::ec());
    let jwks = jwks(&[ed.jwk("ed"), ec.jwk("ec")]);
    let listed = with(json!({"aud": ["other", "fraudplat"], "nbf": NOW_S + 30}));
    for token in [
        ed.token(&header("EdDSA", "ed"), &claims()),
        ec.token(&header("ES256", "ec"), &claims()),
        ed.token(&header("EdDSA", "ed"), &listed),
        // Within the skew.
        ec.token(&header("ES256", "ec"), &with(json!({"exp": NOW_S - 29}))),
    ] {
        assert_eq!(verify(&jwks, &token), Ok("till".to_owned()), "{token}");
    }
}

#[test]
fn claims_that_do_not_hold_are_refused() {
    use CredentialFault::{Audience, Expired, Issuer, Malformed, NotYetValid};
    let ed = Signer::ed();
    let jwks = jwks(&[ed.jwk("ed")]);
    for (changes, expect) in [
        (json!({"exp": NOW_S - 30}), Expired),
        (json!({"exp": i64::MIN}), Malformed),
        (json!({"exp": "absent"}), Malformed),
        (json!({"exp": null}), Malformed),
        (json!({"exp": "1900000000"}), Malformed),
        (json!({"exp": 1.9e9}), Malformed),
        (json!({"nbf": NOW_S + 31}), NotYetValid),
        (json!({"nbf": "soon"}), Malformed),
        (json!({"iss": "https://other.test"}), Issuer),
        (json!({"iss": "absent"}), Malformed),
        (json!({"aud": "other"}), Audience),
        (json!({"aud": []}), Audience),
        (json!({"aud": "absent"}), Malformed),
        (json!({"sub": "absent"}), Malformed),
        (json!({"sub": 7}), Malformed),
    ] {
        let token = ed.token(&header("EdDSA", "ed"), &with(changes.clone()));
        assert_eq!(verify(&jwks, &token), Err(expect), "{changes}");
    }
    for twice in [
        "\"sub\":\"root\"",
        "\"exp\":99999999999",
        "\"aud\":\"fraudplat\"",
    ] {
        let text = claims()
            .to_string()
            .replacen('{', &format!("{{{twice},"), 1);
        let token = ed.raw(&header("EdDSA", "ed").to_string(), &text);
        assert_eq!(verify(&jwks, &token), Err(Malformed), "{text}");
    }
}

#[track_caller]
fn refuses(jwks: &Jwks, rows: &[(&str, String, CredentialFault)]) {
    for (what, token, expect) in rows {
        assert_eq!(verify(jwks, token), Err(*expect), "{what}");
    }
}

/// HS256 with the public key, which everybody has, as its secret.
fn hmac(alg: &str, key: &Ed25519KeyPair) -> String {
    let (header, claims) = (header(alg, "ed").to_string(), claims().to_string());
    let message = format!("{}.{}", B64.encode(header), B64.encode(claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.public_key().as_ref());
    let tag = ring::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", B64.encode(tag))
}

#[test]
fn the_key_says_which_algorithm() {
    use CredentialFault::{Algorithm, Malformed, Signature};
    let (ed, ec) = (Signer::ed(), Signer::ec());
    let jwks = jwks(&[ed.jwk("ed"), ec.jwk("ec")]);
    let Signer::Ed(pair) = &ed else {
        unreachable!()
    };
    let by_ed = |alg: &str, kid: &str| ed.token(&header(alg, kid), &claims());
    let by_ec = |alg: &str, kid: &str| ec.token(&header(alg, kid), &claims());
    refuses(
        &jwks,
        &[
            ("none", by_ed("none", "ed"), Malformed),
            ("None", by_ed("None", "ed"), Malformed),
            ("HS256", hmac("HS256", pair), Algorithm),
            ("an HMAC as EdDSA", hmac("EdDSA", pair), Signature),
            ("RS256", by_ed("RS256", "ed"), Algorithm),
            ("ES384", by_ec("ES384", "ec"), Algorithm),
            ("the other curve's kid", by_ec("ES256", "ed"), Algorithm),
            ("the other curve's kid", by_ed("EdDSA", "ec"), Algorithm),
            (
                "the other curve's signature",
                by_ec("EdDSA", "ed"),
                Signature,
            ),
        ],
    );
}

#[test]
fn a_key_that_is_not_meant_is_refused() {
    use CredentialFault::{Malformed, Signature, Unknown};
    let (ed, other) = (Signer::ed(), Signer::ed());
    let jwks = jwks(&[ed.jwk("ed")]);
    let mut own = header("EdDSA", "me");
    own["jwk"] = other.jwk("me");
    let mut critical = header("EdDSA", "ed");
    critical["crit"] = json!(["b64"]);
    let by_other = other.token(&header("EdDSA", "ed"), &claims());
    let unknown = ed.token(&header("EdDSA", "eD"), &claims());
    let nameless = ed.token(&json!({"alg": "EdDSA"}), &claims());
    refuses(
        &jwks,
        &[
            ("another key under the kid", by_other, Signature),
            ("an unknown kid", unknown, Unknown),
            ("no kid", nameless, Malformed),
            (
                "a critical extension",
                ed.token(&critical, &claims()),
                Malformed,
            ),
            ("a key of its own", other.token(&own, &claims()), Unknown),
        ],
    );
}

#[test]
fn a_token_that_is_none_is_refused() {
    use CredentialFault::{Malformed, Signature};
    let ed = Signer::ed();
    let jwks = jwks(&[ed.jwk("ed")]);
    let good = ed.token(&header("EdDSA", "ed"), &claims());
    assert!(verify(&jwks, &good).is_ok());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (head, _) = signed.split_once('.').unwrap();
    let forged = B64.encode(with(json!({"sub": "root"})).to_string());
    let huge = "e".repeat(4_000_000);
    refuses(
        &jwks,
        &[
            ("unsigned", format!("{signed}."), Signature),
            ("cut short", good[..=signed.len() + 4].to_owned(), Signature),
            ("two parts", signed.to_owned(), Malformed),
            ("four parts", format!("{good}.x"), Malformed),
            ("nothing", String::new(), Malformed),
            ("dots", "..".to_owned(), Malformed),
            ("a huge one", format!("{huge}.{huge}.x"), Malformed),
            (
                "other claims",
                format!("{head}.{forged}.{signature}"),
                Signature,
            ),
        ],
    );
}

#[test]
fn a_set_of_keys_that_verifies_nothing_is_refused() {
    let ed = Signer::ed();
    let mut without_kid = ed.jwk("x");
    without_kid.as_object_mut().unwrap().remove("kid");
    let mut for_encryption = ed.jwk("x");
    for_encryption["use"] = json!("enc");
    let mut other_alg = Signer::ec().jwk("x");
    other_alg["alg"] = json!("ES384");
    let other_curve = json!({"kty": "EC", "crv": "P-384", "kid": "x", "x": B64.encode([1; 48]), "y": B64.encode([1; 48])});
    let secret = json!({"kty": "oct", "kid": "x", "k": B64.encode([1; 32])});
    for unusable in [without_kid, for_encryption, other_alg, other_curve, secret] {
        let text = json!({"keys": [unusable]}).to_string();
        assert!(Jwks::parse(&text).is_err(), "{text}");
        // Beside one that is good it is passed over.
        assert!(Jwks::parse(&json!({"keys": [unusable, ed.jwk("y")]}).to_string()).is_ok());
    }
    for text in ["", "{}", "[]", r#"{"keys": []}"#] {
        assert!(Jwks::parse(text).is_err(), "{text}");
    }
    assert!(Jwks::parse(&json!({"keys": [ed.jwk("x"), ed.jwk("x")]}).to_string()).is_err());
}
