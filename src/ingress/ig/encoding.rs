//! What a body is compressed with, and its content: never more of it than may be held. Pure.
//!
//! Source: RFC 9110 §8.4 (Content-Encoding), RFC 1952 (gzip), RFC 8878 (zstd), RFC 9659 (its window).

use std::io::{self, Read};

use axum::http::{HeaderMap, header};

/// For `Accept-Encoding`.
pub(super) const ACCEPTED: &str = "gzip, zstd";

/// The base-2 logarithm of the largest window of a zstd frame, 8 MiB: what RFC 9659 lets a sender
/// count on. A frame that asks for more memory is refused.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// A coding that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Gzip,
    Zstd,
}

/// Why there is no content.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// More than the limit.
    TooLarge,
    Broken(String),
}

impl Encoding {
    /// The coding of a body, `None` of one that is sent as it is.
    ///
    /// # Errors
    /// With what the header says, when it is no coding that is read, or several.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Encoding>, String> {
        let said: Vec<&[u8]> = headers
            .get_all(header::CONTENT_ENCODING)
            .iter()
            .map(|it| it.as_bytes().trim_ascii())
            .collect();
        let is =
            |name: &str| matches!(&said[..], [one] if one.eq_ignore_ascii_case(name.as_bytes()));
        match () {
            () if said.is_empty() || is("") || is("identity") => Ok(None),
            () if is("gzip") || is("x-gzip") => Ok(Some(Encoding::Gzip)),
            () if is("zstd") => Ok(Some(Encoding::Zstd)),
            () => {
                let said = said.join(&b", "[..]);
                Err(String::from_utf8_lossy(&said).chars().take(80).collect())
            }
        }
    }

    /// Decompresses a whole body; at most `bytes_max` and a window are ever held.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) fn decode(self, body: &[u8], bytes_max: usize) -> Result<Vec<u8>, Fault> {
        let mut content = Vec::new();
        let n_max = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        let read = match self {
            Encoding::Gzip => flate2::read::MultiGzDecoder::new(body)
                .take(n_max.saturating_add(1))
                .read_to_end(&mut content),
            Encoding::Zstd => zstd(body).and_then(|frames| {
                let mut frames = frames.take(n_max.saturating_add(1));
                frames.read_to_end(&mut content)
            }),
        };
        match read {
            Ok(n_bytes) if n_bytes > bytes_max => Err(Fault::TooLarge),
            Ok(_) => Ok(content),
            Err(cause) => Err(Fault::Broken(cause.to_string())),
        }
    }
}

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Encoding::Gzip => "gzip",
            Encoding::Zstd => "zstd",
        })
    }
}

fn zstd(body: &[u8]) -> io::Result<impl Read + '_> {
    let mut frames = zstd::stream::read::Decoder::with_buffer(body)?;
    frames.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(content).unwrap();
        out.finish().unwrap()
    }

    fn zstd_of(content: &[u8], window_log: u32) -> Vec<u8> {
        // Streamed, so that the frame does not say its size and declares its window.
        let mut out = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        out.window_log(window_log).unwrap();
        out.write_all(content).unwrap();
        out.finish().unwrap()
    }

    fn broken(fault: Result<Vec<u8>, Fault>) -> bool {
        matches!(fault, Err(Fault::Broken(_)))
    }

    #[test]
    fn content_comes_back_whole_or_not_at_all() {
        let content = b"{\"a\":1}\n".repeat(1_000);
        let both = [
            (Encoding::Gzip, gzip(&content)),
            (Encoding::Zstd, zstd_of(&content, 20)),
        ];
        for (encoding, body) in both {
            let n_bytes = content.len();
            assert_eq!(encoding.decode(&body, n_bytes), Ok(content.clone()));
            assert_eq!(encoding.decode(&body, n_bytes - 1), Err(Fault::TooLarge));
            let cut = &body[..body.len() - 1];
            assert!(broken(encoding.decode(cut, n_bytes)), "{encoding}: cut");
            let junk = [&body[..], b"junk"].concat();
            assert!(broken(encoding.decode(&junk, n_bytes)), "{encoding}: junk");
            assert!(broken(encoding.decode(b"plain", n_bytes)), "{encoding}");
            // Some senders join files as they are.
            let twice = [&body[..], &body[..]].concat();
            let expect = content.repeat(2);
            assert_eq!(encoding.decode(&twice, 2 * n_bytes), Ok(expect));
        }
    }

    #[test]
    fn a_bomb_ends_at_the_limit() {
        let zeros = vec![0; 64 << 20];
        let limit = 1 << 20;
        assert_eq!(
            Encoding::Gzip.decode(&gzip(&zeros), limit),
            Err(Fault::TooLarge)
        );
        let frames = zstd_of(&zeros, 20);
        assert_eq!(Encoding::Zstd.decode(&frames, limit), Err(Fault::TooLarge));
        // A window that nobody may ask for.
        assert!(broken(Encoding::Zstd.decode(&zstd_of(&zeros, 24), limit)));
    }

    #[test]
    fn a_header_names_one_coding() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, value.parse().unwrap());
            }
            Encoding::of(&headers)
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["identity"]), Ok(None));
        assert_eq!(of(&["GZip"]), Ok(Some(Encoding::Gzip)));
        assert_eq!(of(&["x-gzip"]), Ok(Some(Encoding::Gzip)));
        assert_eq!(of(&[" zstd"]), Ok(Some(Encoding::Zstd)));
        assert_eq!(of(&["br"]), Err("br".to_owned()));
        assert_eq!(of(&["gzip, zstd"]), Err("gzip, zstd".to_owned()));
        assert_eq!(of(&["gzip", "gzip"]), Err("gzip, gzip".to_owned()));
    }
}
