//! The wire to a server, through a socket of this machine, in clear or over TLS, and a watch on it. Of a server
//! beyond this machine an answer that is owed and does not come ends the connection; the server's own
//! limits cannot: its answer may be what got lost. How often an answer was waited for is counted.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use deadpool_postgres::Connect as MakeClient;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_postgres::config::Host;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, NoTls, TlsConnect, TlsStream};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Error, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::substrate::meter;

/// Makes watched connections.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) tls: Option<MakeRustlsConnect>,
    /// How long an owed answer may take; none: as long as it likes.
    pub(super) answer_max: Option<Duration>,
    /// Of all its connections.
    pub(super) flushes: Arc<AtomicU64>,
    /// Woken by every notification that the server sends; none: nobody asks for any.
    pub(super) heard: Option<Arc<Notify>>,
}

impl MakeClient for Wire {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        let config = config.clone();
        Box::pin(async move {
            // To a socket the driver would go by itself, past the watch.
            if let [Host::Unix(dir)] = config.get_hosts() {
                let port = config.get_ports().first().copied().unwrap_or(5432);
                let path = dir.join(format!(".s.PGSQL.{port}"));
                let link = match UnixStream::connect(path).await {
                    Ok(socket) => Link::Local(socket),
                    Err(error) => Link::Unreached(error.kind()),
                };
                let watch = Watch::new(None, Arc::clone(&self.flushes));
                let (client, connection) =
                    config.connect_raw(Watched { link, watch }, NoTls).await?;
                return Ok((client, spawn(connection, self.heard.clone())));
            }
            let (client, connection) = config.connect(self.clone()).await?;
            Ok((client, spawn(connection, self.heard.clone())))
        })
    }
}

fn spawn<S, T>(mut connection: Connection<S, T>, heard: Option<Arc<Notify>>) -> JoinHandle<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let drive = async move {
        loop {
            match std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                Some(Ok(AsyncMessage::Notification(_))) => {
                    heard.iter().for_each(|it| it.notify_one());
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    tracing::warn!(error = %error, "a connection to the database broke");
                    return;
                }
                None => return,
            }
        }
    };
    tokio::spawn(meter::task("database driver", drive))
}

type TlsOf = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;

pub(super) struct Connect {
    tls: Option<TlsOf>,
    answer_max: Option<Duration>,
    flushes: Arc<AtomicU64>,
}

impl MakeTlsConnect<Socket> for Wire {
    type Stream = Watched;
    type TlsConnect = Connect;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn make_tls_connect(&mut self, host: &str) -> Result<Connect, Self::Error> {
        let tls = match &mut self.tls {
            Some(tls) => {
                let tls: &mut dyn MakeTlsConnect<Socket, Stream = _, TlsConnect = _, Error = _> =
                    tls;
                Some(tls.make_tls_connect(host)?)
            }
            None => None,
        };
        Ok(Connect {
            tls,
            answer_max: self.answer_max,
            flushes: Arc::clone(&self.flushes),
        })
    }
}

impl TlsConnect<Socket> for Connect {
    type Stream = Watched;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Watched>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let link = match self.tls {
                Some(tls) => Link::Tls(Box::new(tls.connect(socket).await?)),
                None => Link::Clear(socket),
            };
            Ok(Watched {
                link,
                watch: Watch::new(self.answer_max, self.flushes),
            })
        })
    }
}

enum Link {
    Local(UnixStream),
    /// The error of the first use: the driver's own cannot be made here.
    Unreached(io::ErrorKind),
    Clear(Socket),
    Tls(Box<dyn TlsStream + Send + Sync + Unpin>),
}

impl Link {
    fn read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Link::Local(socket) => Pin::new(socket).poll_read(cx, buf),
            Link::Unreached(kind) => Poll::Ready(Err((*kind).into())),
            Link::Clear(socket) => Pin::new(socket).poll_read(cx, buf),
            Link::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }

    fn writer(&mut self) -> io::Result<Pin<&mut (dyn AsyncWrite + Unpin)>> {
        let writer: &mut (dyn AsyncWrite + Unpin) = match self {
            Link::Local(socket) => socket,
            Link::Unreached(kind) => return Err((*kind).into()),
            Link::Clear(socket) => socket,
            Link::Tls(stream) => stream,
        };
        Ok(Pin::new(writer))
    }
}

/// A connection that ends when an answer is overdue.
pub(super) struct Watched {
    link: Link,
    watch: Watch,
}

impl TlsStream for Watched {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.link {
            Link::Local(_) | Link::Unreached(_) | Link::Clear(_) => ChannelBinding::none(),
            Link::Tls(stream) => stream.channel_binding(),
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        match this.link.read(cx, buf) {
            Poll::Pending if this.watch.is_overdue(cx) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the database owes an answer for too long",
            ))),
            Poll::Ready(Ok(())) => {
                this.watch.received(&buf.filled()[before..]);
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.link.writer()?.poll_write(cx, bytes);
        if let Poll::Ready(Ok(n)) = written {
            self.watch.sent(&bytes[..n]);
            // Whoever sends has read first and now sleeps: the watch must be able to wake it.
            let _overdue = self.watch.is_overdue(cx);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.writer()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.writer()?.poll_shutdown(cx)
    }
}

/// Counts the answers that are owed, and knows since when nothing came.
struct Watch {
    answer_max: Option<Duration>,
    sent: Frames,
    received: Frames,
    owed: u32,
    flushes: Arc<AtomicU64>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Watch {
    fn new(answer_max: Option<Duration>, flushes: Arc<AtomicU64>) -> Watch {
        Watch {
            answer_max,
            // The first message that a client sends has no tag.
            sent: Frames::new(false),
            received: Frames::new(true),
            owed: 0,
            flushes,
            alarm: None,
        }
    }

    /// Query and Sync are each answered by one ReadyForQuery.
    fn sent(&mut self, bytes: &[u8]) {
        let before = self.owed;
        let owed = &mut self.owed;
        self.sent.feed(bytes, |tag| {
            if matches!(tag, b'Q' | b'S') {
                *owed += 1;
            }
        });
        if before == 0 {
            if self.owed > 0 {
                self.flushes.fetch_add(1, Ordering::Relaxed);
            }
            self.rearm();
        }
    }

    /// Whatever comes is a sign of life. A server that begins to take a COPY has skipped the Sync
    /// behind the statement: it answers the one behind the data.
    fn received(&mut self, bytes: &[u8]) {
        let owed = &mut self.owed;
        self.received.feed(bytes, |tag| {
            if matches!(tag, b'Z' | b'G') {
                *owed = owed.saturating_sub(1);
            }
        });
        self.rearm();
    }

    fn rearm(&mut self) {
        match self.answer_max {
            Some(max) if self.owed > 0 => {
                let at = Instant::now() + max;
                match &mut self.alarm {
                    Some(alarm) => alarm.as_mut().reset(at),
                    None => self.alarm = Some(Box::pin(sleep_until(at))),
                }
            }
            _ => self.alarm = None,
        }
    }

    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        let alarm = self.alarm.as_mut();
        alarm.is_some_and(|it| it.as_mut().poll(cx).is_ready())
    }
}

/// Finds the tags of messages in a stream that is cut anywhere: a tag, a length of four bytes that
/// counts itself, the rest.
struct Frames {
    head: [u8; 5],
    /// How many bytes of the head are known.
    have: usize,
    /// How many bytes of the message are still to come.
    rest: usize,
}

impl Frames {
    fn new(has_tag: bool) -> Frames {
        Frames {
            head: [0; 5],
            have: usize::from(!has_tag),
            rest: 0,
        }
    }

    fn feed(&mut self, mut bytes: &[u8], mut found: impl FnMut(u8)) {
        while let Some((first, behind)) = bytes.split_first() {
            if self.rest > 0 {
                let n = self.rest.min(bytes.len());
                self.rest -= n;
                bytes = &bytes[n..];
                continue;
            }
            self.head[self.have] = *first;
            self.have += 1;
            bytes = behind;
            if self.have == self.head.len() {
                let [tag, length @ ..] = self.head;
                let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                self.rest = length.saturating_sub(4);
                self.have = 0;
                found(tag);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, rest: &[u8]) -> Vec<u8> {
        let length = u32::try_from(rest.len() + 4).unwrap().to_be_bytes();
        [&[tag][..], &length, rest].concat()
    }

    fn flushes(watch: &Watch) -> u64 {
        watch.flushes.load(Ordering::Relaxed)
    }

    fn startup() -> Vec<u8> {
        message(0, b"\0\x03\0\0user\0S\0\0")[1..].to_vec()
    }

    #[test]
    fn tags_are_found_wherever_a_stream_is_cut() {
        let stream = [
            startup(),
            message(b'p', b"SSSS"),
            message(b'Q', b"SELECT 'S'\0"),
            message(b'S', b""),
        ]
        .concat();
        for cut in 0..=stream.len() {
            let mut frames = Frames::new(false);
            let mut tags = Vec::new();
            for half in [&stream[..cut], &stream[cut..]] {
                frames.feed(half, |tag| tags.push(tag));
            }
            assert_eq!(tags, [0, b'p', b'Q', b'S'], "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn an_alarm_is_set_exactly_while_an_answer_is_owed() {
        let mut watch = Watch::new(Some(Duration::from_secs(1)), Arc::default());
        let (sync, ready) = (message(b'S', b""), message(b'Z', b"I"));
        watch.sent(&startup());
        watch.received(&[message(b'R', b"\0\0\0\0"), ready.clone()].concat());
        assert!(watch.alarm.is_none());
        // Two in the pipeline, one answered.
        watch.sent(&sync);
        watch.sent(&sync);
        watch.received(&ready);
        assert!(watch.alarm.is_some());
        watch.received(&ready);
        assert!(watch.alarm.is_none());
        assert_eq!(flushes(&watch), 1, "what travels together is one");
        // A COPY: the statement's Sync is skipped, the data's is answered.
        watch.sent(&sync);
        watch.received(&message(b'G', b"\x01\0\0"));
        assert!(watch.alarm.is_none());
        watch.sent(&[message(b'd', b"ZZZZ"), message(b'c', b""), sync].concat());
        assert!(watch.alarm.is_some());
        watch.received(&message(b'C', b"COPY 1\0"));
        assert!(watch.alarm.is_some());
        watch.received(&ready);
        assert!(watch.alarm.is_none());
        assert_eq!(flushes(&watch), 3);
    }

    #[tokio::test]
    async fn what_is_owed_too_long_is_overdue_and_a_sign_of_life_defers_it() {
        let mut watch = Watch::new(Some(Duration::from_millis(20)), Arc::default());
        watch.sent(&startup());
        watch.sent(&message(b'S', b""));
        let due = |watch: &Watch| watch.alarm.as_ref().unwrap().deadline();
        let before = due(&watch);
        watch.received(&message(b'D', b"\0\0"));
        assert!(before < due(&watch));
        let overdue = std::future::poll_fn(|cx| {
            if watch.is_overdue(cx) {
                return Poll::Ready(());
            }
            Poll::Pending
        });
        tokio::time::timeout(Duration::from_secs(10), overdue)
            .await
            .unwrap();
    }
}
