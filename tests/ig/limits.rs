//! Overload, the drain, and the limits of a whole body: refused with a problem, before memory grows.

use std::time::{Duration, Instant};

use fraudplat::contracts::code::Code;
use fraudplat::ingress::ig::Options;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::gate::{DEADLINE, JSON, NDJSON, lab, lines, options, post, until, words};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_answers_429_and_takes_no_more() {
    let lab = lab().await;
    let options = Options {
        queue_events_max: 200,
        events_per_request_max: 100,
        ..options()
    };
    let gate = lab.gate_with(options).await;
    lab.bus.inner().hold();
    let mut sending = tokio::task::JoinSet::new();
    for request in 0..20 {
        let events: Vec<Value> = (0..100)
            .map(|n| lab.traffic(&format!("e{request}-{n}"), n))
            .collect();
        let (client, url, body) = (gate.client.clone(), gate.url.clone(), lines(&events));
        sending.spawn(async move { post(&client, &url, NDJSON, body).await });
    }
    // While nothing leaves the gate, exactly two requests find room.
    for _ in 0..18 {
        let refused = sending.join_next().await.unwrap().unwrap();
        assert_eq!(refused.status, 429);
        assert!(refused.seconds() >= 1);
        assert_eq!(refused.body["code"], "OVERLOADED");
        assert_eq!(refused.content_type, "application/problem+json");
    }
    lab.bus.inner().release();
    while let Some(taken) = sending.join_next().await {
        let taken = taken.unwrap();
        assert_eq!((taken.status, taken.results().len()), (200, 100));
    }
    // Room is given back.
    let after = gate.send(&[lab.traffic("after", 1)]).await;
    assert_eq!(words(&after), ["ADMITTED"]);
    gate.drain().await;
    assert_eq!(lab.balance().await.admitted, 201);
}

/// Room is left, but what is in hand does not move: who came now would wait too long.
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_that_stands_still_answers_429_with_its_age() {
    let lab = lab().await;
    let options = Options {
        backlog_ms_max: 1_000,
        ..options()
    };
    let gate = lab.gate_with(options).await;
    lab.bus.inner().hold();
    let (client, url) = (gate.client.clone(), gate.url.clone());
    let body = lines(&[lab.traffic("first", 1)]);
    let first = tokio::spawn(async move { post(&client, &url, NDJSON, body).await });
    lab.bus.inner().is_reached().await;
    // Who comes before it is old enough waits for a verdict as the first does; it hangs up.
    let refused = async {
        loop {
            let second = gate.post(NDJSON, lines(&[lab.traffic("second", 1)]));
            let answer = tokio::time::timeout(Duration::from_millis(500), second).await;
            if let Some(refused) = answer.ok().filter(|it| it.status == 429) {
                return refused;
            }
        }
    };
    let refused = tokio::time::timeout(DEADLINE, refused).await;
    let refused = refused.expect("who comes later is refused");
    assert_eq!(refused.body["code"], "OVERLOADED");
    assert!(refused.seconds() >= 2, "{refused:?}");
    lab.bus.inner().release();
    let first = first.await.unwrap();
    assert_eq!(words(&first.results()), ["ADMITTED"], "{first:?}");
    until(async || {
        gate.post(NDJSON, lines(&[lab.traffic("third", 1)]))
            .await
            .status
            == 200
    })
    .await;
    gate.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_sends_more_than_its_share_is_told_when_it_may_again() {
    let lab = lab().await;
    let options = Options {
        events_per_request_max: 10,
        producer_events_per_s: std::num::NonZero::new(1),
        ..options()
    };
    let gate = lab.gate_with(options).await;
    let events: Vec<Value> = (0..10).map(|n| lab.traffic(&format!("e{n}"), n)).collect();
    let (mut sent_at, mut n_sent) = (Instant::now(), 1);
    assert_eq!(words(&gate.send(&events).await), ["ADMITTED"; 10]);
    let refused = loop {
        let at = Instant::now();
        let answer = gate.post(NDJSON, lines(&events)).await;
        if answer.status == 429 {
            break answer;
        }
        // A second gives room for one: a machine that was so slow had a right to ten more.
        assert!(sent_at.elapsed() >= Duration::from_secs(10), "{answer:?}");
        (sent_at, n_sent) = (at, n_sent + 1);
    };
    assert_eq!(refused.body["code"], "RATE_LIMITED");
    assert!((1..=10).contains(&refused.seconds()), "{refused:?}");
    gate.drain().await;
    // Nothing of it was received.
    assert_eq!(lab.balance().await.received, 10 * n_sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_have_room_before_they_are_read() {
    let lab = lab().await;
    let options = Options {
        queue_bytes_max: 10_000,
        body_bytes_max: 10_000,
        ..options()
    };
    let gate = lab.gate_with(options).await;
    lab.bus.inner().hold();
    let (client, url) = (gate.client.clone(), gate.url.clone());
    let body = lines(&[lab.traffic("a", 1)]) + &"\n".repeat(8_000);
    let first = tokio::spawn(async move { post(&client, &url, NDJSON, body).await });
    lab.bus.inner().is_reached().await;
    let refused = gate.post(NDJSON, "\n".repeat(2_000)).await;
    assert_eq!(refused.status, 429);
    // Without a declared length, too.
    let chunk = |_| Ok::<_, std::io::Error>("\n".repeat(500));
    let chunks = futures::stream::iter((0..4).map(chunk));
    let refused = gate.post(NDJSON, reqwest::Body::wrap_stream(chunks)).await;
    assert_eq!(refused.status, 429);
    lab.bus.inner().release();
    assert_eq!(first.await.unwrap().status, 200);
    gate.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_keeps_no_room_and_is_told() {
    let lab = lab().await;
    let options = Options {
        queue_bytes_max: 10_000,
        body_bytes_max: 10_000,
        body_ms_max: 2_000,
        ..options()
    };
    let gate = lab.gate_with(options).await;
    // Nine of ten thousand are promised, and one is sent.
    let promised = "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 9000\r\n\r\n{";
    let mut slow = TcpStream::connect(gate.url.trim_start_matches("http://"))
        .await
        .unwrap();
    slow.write_all(promised.as_bytes()).await.unwrap();
    let body = "\n".repeat(8_000) + &lines(&[lab.traffic("a", 1)]);
    let quick = loop {
        let answer = gate.post(NDJSON, body.clone()).await;
        // On a machine that stands still it was slow itself, and nothing of it was taken.
        if answer.status != 408 {
            break answer;
        }
    };
    assert_eq!(quick.status, 200, "{quick:?}");
    let mut said = String::new();
    slow.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    assert!(said.contains("did not end within 2000 ms"), "{said}");
    gate.drain().await;
    assert_eq!(lab.balance().await.received, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_bodies_are_problems() {
    let lab = lab().await;
    let options = Options {
        body_bytes_max: 4_000,
        events_per_request_max: 3,
        ..options()
    };
    let gate = lab.gate_with(options).await;
    let good = lab.traffic("a", 1).to_string();
    let not_utf8 = [good.as_bytes(), b"\n\"\xff\""].concat();
    let cases: [(&str, Vec<u8>, u16, Code, &str); 8] = [
        (JSON, Vec::new(), 400, Code::BodyUnreadable, "empty"),
        (
            NDJSON,
            b" \n \n".to_vec(),
            400,
            Code::BodyUnreadable,
            "empty",
        ),
        (NDJSON, not_utf8, 400, Code::BodyUnreadable, "UTF-8"),
        (
            JSON,
            format!("[{good},").into(),
            400,
            Code::BodyUnreadable,
            "EOF",
        ),
        (
            JSON,
            format!("[{good}").into(),
            400,
            Code::BodyUnreadable,
            "EOF",
        ),
        (JSON, b"{".to_vec(), 400, Code::BodyUnreadable, "EOF"),
        (
            NDJSON,
            vec![b'\n'; 4_001],
            413,
            Code::BodyTooLarge,
            "body_bytes_max is 4000",
        ),
        (
            NDJSON,
            b"1\n2\n3\n4".to_vec(),
            413,
            Code::BodyTooLarge,
            "events_per_request_max is 3",
        ),
    ];
    for (content_type, body, status, code, detail) in cases {
        let answer = gate.post(content_type, body).await;
        assert_eq!(
            (answer.status, answer.body["code"].as_str()),
            (status, Some(code.as_str()))
        );
        assert!(
            answer.body["detail"].as_str().unwrap().contains(detail),
            "{answer:?}"
        );
        assert_eq!(answer.content_type, "application/problem+json");
    }
    gate.drain().await;
    assert_eq!(lab.balance().await.received, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_finishes_what_is_queued_and_refuses_the_rest() {
    let lab = lab().await;
    let gate = lab.gate().await;
    lab.bus.inner().hold();
    let mut sending = tokio::task::JoinSet::new();
    for request in 0..5 {
        let (client, url) = (gate.client.clone(), gate.url.clone());
        let body = lines(&[lab.traffic(&format!("e{request}"), 1)]);
        let request = client.post(format!("{url}/v1/events")).body(body);
        sending.spawn(request.header("content-type", NDJSON).send());
    }
    lab.bus.inner().is_reached().await;
    assert!(gate.ig.is_ready());
    let (client, url) = (gate.client.clone(), gate.url.clone());
    let ig = gate.ig.clone();
    let drain = tokio::spawn(gate.drain());
    crate::gate::until(async || !ig.is_ready()).await;
    let refused = post(&client, &url, NDJSON, lines(&[lab.traffic("late", 1)])).await;
    // As long as the oldest one has been in hand: what that is the machine says.
    assert_eq!(refused.status, 503);
    assert!((1..=60).contains(&refused.seconds()), "{refused:?}");
    lab.bus.inner().release();
    let mut n_admitted = 0;
    while let Some(answer) = sending.join_next().await {
        // One that had not reached the gate before the stop is refused, or finds nobody.
        let status = answer.unwrap().map(|it| it.status().as_u16());
        assert!(matches!(status, Ok(200 | 503) | Err(_)), "{status:?}");
        n_admitted += i64::from(matches!(status, Ok(200)));
    }
    drain.await.unwrap();
    assert!(n_admitted > 0);
    assert_eq!(lab.balance().await.admitted, n_admitted);
    let sql = "SELECT coalesce(sum(receipts_count), 0)::bigint FROM ig.receipt_segment";
    assert_eq!(lab.number(sql, &[]).await, n_admitted);
    // The leases are free at once.
    let sql = "SELECT count(*) FROM runtime.lease WHERE expires_at >= now()";
    assert_eq!(lab.number(sql, &[]).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_that_wait_for_decisions_are_refused_before_they_are_admitted() {
    let lab = lab().await;
    let options = Options {
        decision_waits_max: 3,
        ..options()
    };
    let gate = lab.gate_with(options).await;
    // Nobody decides here, so two wait until they go.
    let two = lines(&[lab.traffic("a", 1), lab.traffic("b", 1)]);
    let (client, url) = (gate.client.clone(), gate.url.clone());
    let waiting = format!("{url}/v1/events?wait=decision&timeout_ms=30000");
    let first = client.post(waiting).body(two).send();
    let first = tokio::spawn(first);
    let is_in = async || lab.number("SELECT count(*) FROM ig.event", &[]).await == 2;
    until(is_in).await;
    let wait = |ids: &[&str], timeout_ms: u32| {
        let events: Vec<Value> = ids.iter().map(|id| lab.traffic(id, 1)).collect();
        let url = format!("{url}/v1/events?wait=decision&timeout_ms={timeout_ms}");
        client.post(url).body(lines(&events)).send()
    };
    let refused = wait(&["c", "d"], 1).await.unwrap();
    assert_eq!(refused.status(), 429);
    let seconds = refused.headers()["retry-after"].to_str().unwrap();
    assert!((1..=60).contains(&seconds.parse::<u64>().unwrap()));
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["code"], "OVERLOADED");
    assert_eq!(lab.number("SELECT count(*) FROM ig.event", &[]).await, 2);
    // One still fits; it is admitted, and its decision does not come.
    let late = wait(&["c"], 1).await.unwrap();
    assert_eq!(late.status(), 202);
    let late: Value = late.json().await.unwrap();
    assert_eq!(late["results"][0]["result"], "ADMITTED", "{late}");
    // Who hangs up gives its places back.
    first.abort();
    until(async || wait(&["d", "e", "f"], 1).await.unwrap().status() == 202).await;
    gate.drain().await;
}
