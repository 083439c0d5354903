//! What a request shows: the secret in its `Authorization` header. Pure.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Longer than any key or token that is taken.
pub const SECRET_BYTES_MAX: usize = 8 << 10;

/// What the header holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Presented {
    Nothing,
    /// A header that is there and says nothing that is understood.
    Unreadable,
    Secret(String),
}

/// Reads `Bearer SECRET`, and `Basic` with the secret as its password. A browser repeats Basic by
/// itself, also for a page of somebody else, so it is taken only where nothing is changed.
#[must_use]
pub fn present(headers: &HeaderMap, is_safe_method: bool) -> Presented {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let Some(only) = all.next() else {
        return Presented::Nothing;
    };
    if all.next().is_some() || only.len() > SECRET_BYTES_MAX {
        return Presented::Unreadable;
    }
    let said = only.to_str().ok().and_then(|it| it.split_once(' '));
    let Some((scheme, rest)) = said else {
        return Presented::Unreadable;
    };
    let rest = rest.trim();
    let secret = if scheme.eq_ignore_ascii_case("bearer") {
        Some(rest.to_owned())
    } else if scheme.eq_ignore_ascii_case("basic") && is_safe_method {
        password(rest)
    } else {
        None
    };
    match secret {
        Some(secret) if !secret.is_empty() => Presented::Secret(secret),
        _ => Presented::Unreadable,
    }
}

fn password(encoded: &str) -> Option<String> {
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    text.split_once(':')
        .map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[&str], is_safe_method: bool, expect: &Presented) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        assert_eq!(&present(&headers, is_safe_method), expect, "{values:?}");
    }

    #[test]
    fn only_one_plain_secret_is_taken() {
        let secret = Presented::Secret("s3cret".to_owned());
        check(&[], true, &Presented::Nothing);
        check(&["Bearer s3cret"], false, &secret);
        check(&["bearer   s3cret "], false, &secret);
        // user:s3cret
        check(&["Basic dXNlcjpzM2NyZXQ="], true, &secret);
        check(&["Basic dXNlcjpzM2NyZXQ="], false, &Presented::Unreadable);
        for faulty in [
            "Bearer",
            "Bearer ",
            "Digest x",
            "Basic %%%",
            "Basic dXNlcg==",
            "s3cret",
        ] {
            check(&[faulty], true, &Presented::Unreadable);
        }
        check(&["Bearer a", "Bearer a"], true, &Presented::Unreadable);
        let long = format!("Bearer {}", "a".repeat(SECRET_BYTES_MAX));
        check(&[&long], true, &Presented::Unreadable);
    }
}
