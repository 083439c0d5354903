//! Service tokens: JWTs of one issuer for one audience, signed with a key of the JWKS file, by
//! EdDSA or ES256. The key says which algorithm, never the token.

use std::collections::BTreeMap;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use crate::contracts::permission::CredentialFault;
use crate::domain::digest::Digest;
use crate::domain::time::Time;
use crate::substrate::auth::ring_provider;
use crate::substrate::auth::watched::Loaded;

/// What a token must say.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) issuer: String,
    pub(super) audience: String,
    /// How far two clocks may be apart, in seconds.
    pub(super) skew_s: u32,
}

/// The public keys of the issuer by their ids.
pub(super) struct Jwks(BTreeMap<String, (Algorithm, DecodingKey)>);

/// Read once more with a type of our own: a claim that is there twice is refused.
#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
}

const MICROS: i64 = 1_000_000;

impl Jwks {
    pub(super) fn parse(text: &str) -> Result<Jwks, String> {
        ring_provider::install();
        let set: JwkSet = serde_json::from_str(text).map_err(|cause| cause.to_string())?;
        let mut keys = BTreeMap::new();
        for jwk in &set.keys {
            // A set may hold keys for other purposes; a token that names one finds none.
            let Some((id, algorithm)) = usable(jwk) else {
                continue;
            };
            let key = DecodingKey::from_jwk(jwk).map_err(|cause| format!("key `{id}`: {cause}"))?;
            if keys.insert(id.to_owned(), (algorithm, key)).is_some() {
                return Err(format!("key id `{id}` is there twice"));
            }
        }
        if keys.is_empty() {
            return Err("no key with a kid for EdDSA (Ed25519) or ES256 (P-256)".to_owned());
        }
        Ok(Jwks(keys))
    }

    /// The subject of a token that holds now.
    pub(super) fn verify(
        &self,
        token: &str,
        rules: &Rules,
        now: Time,
    ) -> Result<String, CredentialFault> {
        let header = decode_header(token).map_err(|cause| fault(cause.kind()))?;
        // Extensions that must be understood, and none is (RFC 7515 §4.1.11).
        let has_critical = header.crit.is_some();
        let Some(kid) = header.kid.filter(|_| !has_critical) else {
            return Err(CredentialFault::Malformed);
        };
        let (algorithm, key) = self.0.get(&kid).ok_or(CredentialFault::Unknown)?;
        let mut validation = Validation::new(*algorithm);
        validation.set_issuer(&[&rules.issuer]);
        validation.set_audience(&[&rules.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Judged below, by the clock of this process.
        validation.validate_exp = false;
        let token = decode::<Claims>(token, key, &validation);
        let claims = token.map_err(|cause| fault(cause.kind()))?.claims;
        let skew = i64::from(rules.skew_s);
        let now_s = now.micros().div_euclid(MICROS);
        if claims.exp.saturating_add(skew) <= now_s {
            return Err(CredentialFault::Expired);
        }
        if claims
            .nbf
            .is_some_and(|nbf| nbf.saturating_sub(skew) > now_s)
        {
            return Err(CredentialFault::NotYetValid);
        }
        Ok(claims.sub)
    }
}

/// The id and the algorithm of a key that may verify tokens.
fn usable(jwk: &Jwk) -> Option<(&str, Algorithm)> {
    let common = &jwk.common;
    if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(it) if it.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDSA
        }
        AlgorithmParameters::EllipticCurve(it) if it.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        _ => return None,
    };
    let is_meant = match common.key_algorithm {
        None => true,
        Some(KeyAlgorithm::EdDSA) => algorithm == Algorithm::EdDSA,
        Some(KeyAlgorithm::ES256) => algorithm == Algorithm::ES256,
        Some(_) => false,
    };
    let id = common.key_id.as_deref()?;
    is_meant.then_some((id, algorithm))
}

fn fault(kind: &ErrorKind) -> CredentialFault {
    match kind {
        ErrorKind::InvalidSignature => CredentialFault::Signature,
        ErrorKind::InvalidAlgorithm
        | ErrorKind::InvalidAlgorithmName
        | ErrorKind::UnsupportedAlgorithm => CredentialFault::Algorithm,
        ErrorKind::InvalidIssuer => CredentialFault::Issuer,
        ErrorKind::InvalidAudience => CredentialFault::Audience,
        _ => CredentialFault::Malformed,
    }
}

pub(super) fn load(files: &[Vec<u8>]) -> Result<Loaded<Jwks>, String> {
    let text = std::str::from_utf8(&files[0]).map_err(|cause| cause.to_string())?;
    let jwks = Jwks::parse(text)?;
    Ok(Loaded {
        ids: jwks.0.keys().cloned().collect(),
        digest: Digest::of_bytes(&files[0]),
        value: jwks,
    })
}

#[cfg(test)]
mod tests;
