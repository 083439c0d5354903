//! Clients that are slower than they may be: each is let go, and nobody else waits for it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rustix::process::Signal;

use crate::events::{till, words};
use crate::home::{DONE, Home, LONG};

/// Sends these bytes and nothing more; returns what is answered until the port closes the connection.
fn answer(addr: &str, sent: &str) -> String {
    let mut connection = TcpStream::connect(addr).unwrap();
    connection.set_read_timeout(Some(LONG)).unwrap();
    connection.write_all(sent.as_bytes()).unwrap();
    let mut said = Vec::new();
    // A reset is a close, too.
    drop(connection.read_to_end(&mut said));
    String::from_utf8(said).unwrap()
}

#[test]
fn a_client_that_stalls_is_let_go() {
    let home = Home::new();
    let quick = [("FRAUDPLAT__HTTP__CLIENT_MS_MAX", "300")];
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
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\
         content-length: 8000000\r\n\r\n{{"
    );
    let stalled = answer(&addr, &head);
    assert!(stalled.starts_with("HTTP/1.1 408"), "{stalled}");
    assert!(stalled.contains("REQUEST_TIMEOUT"), "{stalled}");
    // Others are served meanwhile and after.
    let till = till(&home, "till");
    let verdicts = home.port(&addr).send(&[till.traffic("a", 1_200)]);
    assert_eq!(words(&verdicts[0]), "ADMITTED");
    all.stop(Signal::TERM).expect(DONE);
}
