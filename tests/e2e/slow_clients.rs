//! Clients that are slower than they may be: each is let go, and nobody else waits for it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::events::till;
use crate::home::{DONE, Home, LONG};

/// How long a client may take here.
const CLIENT: Duration = Duration::from_millis(300);

/// Sends these bytes and nothing more; returns what is answered until the port closes the connection. Sends again
/// where this process was itself a slow client: the bytes of every answer were on their way in time.
fn answer(addr: &str, sent: &str) -> String {
    loop {
        let begun = Instant::now();
        let mut connection = TcpStream::connect(addr).unwrap();
        connection.set_read_timeout(Some(LONG)).unwrap();
        let is_sent = connection.write_all(sent.as_bytes()).is_ok();
        let is_quick = is_sent && begun.elapsed() < CLIENT / 2;
        let mut said = Vec::new();
        // A reset is a close, too.
        drop(connection.read_to_end(&mut said));
        if is_quick {
            return String::from_utf8(said).unwrap();
        }
    }
}

#[test]
fn a_client_that_stalls_is_let_go() {
    let home = Home::new();
    // Of a process that is in no hurry.
    let till = till(&home, "till");
    let quick = CLIENT.as_millis().to_string();
    let quick = [("FRAUDPLAT__HTTP__CLIENT_MS_MAX", quick.as_str())];
    let mut all = home.start_with(&["--role", "all"], &quick);
    let addr = all.listening();
    assert_eq!(answer(&addr, ""), "", "no head");
    assert_eq!(
        answer(&addr, "GET /healthz HTTP/1.1\r\nhost:"),
        "",
        "half a head"
    );
    let idle = answer(&addr, "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert!(idle.starts_with("HTTP/1.1 200"), "no second head: {idle}");
    let key = home.key("local");
    let head = |length: usize| {
        format!(
            "POST /v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\
             content-length: {length}\r\n\r\n"
        )
    };
    let stalled = answer(&addr, &(head(8_000_000) + "{"));
    assert!(stalled.starts_with("HTTP/1.1 408"), "{stalled}");
    assert!(stalled.contains("REQUEST_TIMEOUT"), "{stalled}");
    // Others are served meanwhile and after.
    let event = till.traffic("a", 1_200).to_string();
    let served = answer(&addr, &(head(event.len()) + &event));
    assert!(served.starts_with("HTTP/1.1 200"), "{served}");
    assert!(served.contains(r#""result":"ADMITTED""#), "{served}");
    all.stop(Signal::TERM).expect(DONE);
}
