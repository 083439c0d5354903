//! Compressed bodies: admitted like any other, and refused where they are bombs or no such thing.

use std::io::Write as _;

use fraudplat::contracts::code::Code;
use fraudplat::ingress::ig::Options;

use crate::gate::{lab, lines, options};

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(content).unwrap();
    out.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_events_are_events() {
    let lab = lab().await;
    let gate = lab.gate().await;
    let events: Vec<_> = (0..40).map(|n| lab.traffic(&format!("e{n}"), n)).collect();
    let (first, rest) = events.split_at(20);
    let sent = [
        ("gzip", gzip(lines(first).as_bytes())),
        ("zstd", zstd::encode_all(lines(rest).as_bytes(), 3).unwrap()),
        ("identity", lines(&events).into_bytes()),
    ];
    for (encoding, body) in sent {
        let expect = match encoding {
            "identity" => "DUPLICATE",
            _ => "ADMITTED",
        };
        let answer = gate.post_encoded(encoding, body).await;
        assert_eq!(answer.status, 200, "{encoding}: {answer:?}");
        for verdict in answer.results() {
            assert_eq!(verdict["result"], expect, "{encoding}: {verdict}");
        }
    }
    gate.drain().await;
    assert_eq!(lab.balance().await.received, 80);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_a_fragment_and_an_unknown_coding_are_problems() {
    let lab = lab().await;
    let options = Options {
        body_bytes_max: 100_000,
        ..options()
    };
    let gate = lab.gate_with(options).await;
    let bomb = vec![b'\n'; 8 << 20];
    let whole = gzip(lines(&[lab.traffic("a", 1)]).as_bytes());
    let cases: [(&str, Vec<u8>, u16, Code, &str); 6] = [
        (
            "gzip",
            gzip(&bomb),
            413,
            Code::BodyTooLarge,
            "more than 100000",
        ),
        (
            "zstd",
            zstd::encode_all(&bomb[..], 3).unwrap(),
            413,
            Code::BodyTooLarge,
            "more than 100000",
        ),
        (
            "gzip",
            whole[..whole.len() - 4].to_vec(),
            400,
            Code::BodyUnreadable,
            "not gzip, or not whole",
        ),
        ("zstd", whole.clone(), 400, Code::BodyUnreadable, "not zstd"),
        ("gzip", gzip(b""), 400, Code::BodyUnreadable, "empty"),
        (
            "br",
            whole,
            415,
            Code::EncodingUnsupported,
            "br; gzip, zstd",
        ),
    ];
    for (encoding, body, status, code, detail) in cases {
        let answer = gate.post_encoded(encoding, body).await;
        assert_eq!(
            (answer.status, answer.body["code"].as_str()),
            (status, Some(code.as_str())),
            "{answer:?}"
        );
        let said = answer.body["detail"].as_str().unwrap();
        assert!(said.contains(detail), "{answer:?}");
        let accepted = (status == 415).then_some("gzip, zstd");
        assert_eq!(answer.accept_encoding.as_deref(), accepted);
    }
    // What is mostly air is no bomb.
    let padding = "\n".repeat(90_000);
    let body = padding + &lines(&[lab.traffic("b", 1)]);
    let answer = gate.post_encoded("gzip", gzip(body.as_bytes())).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    gate.drain().await;
    assert_eq!(lab.balance().await.received, 1);
}
