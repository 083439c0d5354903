//! A wire that misbehaves as told: it delays, throttles, cuts, resets or falls silent, after so many
//! bytes or at certain words, in either direction; or it delivers everything twice.
//!
//! Include it with `#[path = "../support/tcp_proxy.rs"] mod tcp_proxy;`. Connections take their
//! [`Wire`] from the script in the order they come; when it is at its end, from the default, or as
//! they are drawn.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its world has failed"
)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

/// How many bytes pass at once; small, so that a throttle is smooth.
const CHUNK_BYTES: usize = 16 << 10;

/// What a connection does to what passes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire {
    /// From the client to the server.
    pub(crate) up: Way,
    /// From the server to the client.
    pub(crate) down: Way,
    /// What goes up comes to the server once more, so much later, on another connection, whose
    /// answers nobody hears.
    pub(crate) again: Option<Duration>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Way {
    /// Each piece comes so much later.
    pub(crate) delay: Duration,
    pub(crate) bytes_per_s: Option<u64>,
    pub(crate) end: Option<(At, End)>,
}

/// Where a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// As soon as so many bytes have passed; 0: when the first come, which do not pass.
    Bytes(u64),
    /// These bytes, within one piece, do not pass, nor does what follows.
    Words(&'static [u8]),
}

/// How it ends, both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Closed, as by a process that ends.
    Cut,
    /// Reset, as by a machine that does not know the connection.
    Reset,
    /// Nothing passes any more and nobody is told.
    Silent,
}

impl Wire {
    pub(crate) fn up(at: At, end: End) -> Wire {
        Wire {
            up: Way {
                end: Some((at, end)),
                ..Way::default()
            },
            ..Wire::default()
        }
    }

    pub(crate) fn down(at: At, end: End) -> Wire {
        Wire {
            down: Way {
                end: Some((at, end)),
                ..Way::default()
            },
            ..Wire::default()
        }
    }
}

#[derive(Clone)]
pub(crate) struct TcpProxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Clone)]
enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What befell connections so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Connections that were cut or reset, or fell silent, as asked for.
    pub(crate) ended: u64,
    /// Pieces that came late.
    pub(crate) delayed: u64,
    /// Turns of a client, such as requests, that came to the server twice.
    pub(crate) repeated: u64,
}

type Drawing = Box<dyn FnMut() -> Wire + Send>;

struct Shared {
    script: Mutex<VecDeque<Wire>>,
    /// The wires beyond the script.
    drawing: Mutex<Drawing>,
    tally: Mutex<Tally>,
    /// Ends, once, whichever connection next brings its words down.
    armed: Mutex<Option<(&'static [u8], End)>>,
    /// What befalls the connections that are open.
    all: watch::Sender<Option<End>>,
    up_bytes: AtomicU64,
    down_bytes: AtomicU64,
    accepted: AtomicU64,
}

impl TcpProxy {
    pub(crate) async fn to(server: SocketAddr) -> TcpProxy {
        TcpProxy::over(Target::Tcp(server)).await
    }

    /// To a server behind a socket file.
    pub(crate) async fn to_socket(path: PathBuf) -> TcpProxy {
        TcpProxy::over(Target::Unix(path)).await
    }

    async fn over(target: Target) -> TcpProxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            script: Mutex::default(),
            drawing: Mutex::new(Box::new(Wire::default)),
            tally: Mutex::default(),
            armed: Mutex::default(),
            all: watch::channel(None).0,
            up_bytes: AtomicU64::new(0),
            down_bytes: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
        });
        let proxy = TcpProxy {
            address: listener.local_addr().unwrap(),
            shared: shared.clone(),
        };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                shared.accepted.fetch_add(1, Ordering::SeqCst);
                // Before its wire is chosen: what ends all connections from now on ends this one.
                let all = shared.all.subscribe();
                let next = shared.script.lock().unwrap().pop_front();
                let wire = next.unwrap_or_else(|| (shared.drawing.lock().unwrap())());
                tokio::spawn(serve(client, target.clone(), wire, all, shared.clone()));
            }
        });
        proxy
    }

    /// What the next connections do, in order.
    pub(crate) fn script(&self, wires: impl IntoIterator<Item = Wire>) {
        self.shared.script.lock().unwrap().extend(wires);
    }

    /// Forgets what no connection took.
    pub(crate) fn clear_script(&self) {
        self.shared.script.lock().unwrap().clear();
    }

    /// What every connection beyond the script does.
    pub(crate) fn otherwise(&self, wire: Wire) {
        self.draw(move || wire.clone());
    }

    /// Every connection beyond the script is drawn.
    pub(crate) fn draw(&self, drawing: impl FnMut() -> Wire + Send + 'static) {
        *self.shared.drawing.lock().unwrap() = Box::new(drawing);
    }

    pub(crate) fn tally(&self) -> Tally {
        *self.shared.tally.lock().unwrap()
    }

    /// The next time the server says these words, on whichever connection, its end comes instead;
    /// once.
    pub(crate) fn arm(&self, words: &'static [u8], end: End) {
        *self.shared.armed.lock().unwrap() = Some((words, end));
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.shared.armed.lock().unwrap().is_some()
    }

    /// Ends the connections that are open now, and only those.
    pub(crate) fn end_all(&self, end: End) {
        self.shared.all.send_replace(Some(end));
    }

    /// Bytes that passed up and down so far, those included that are just passing.
    pub(crate) fn passed(&self) -> (u64, u64) {
        let shared = &self.shared;
        (
            shared.up_bytes.load(Ordering::SeqCst),
            shared.down_bytes.load(Ordering::SeqCst),
        )
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

/// Each test binary uses what it needs of this file; what it leaves is no dead code.
const _: fn(&TcpProxy) = |proxy| {
    drop(TcpProxy::to(proxy.address));
    drop(TcpProxy::to_socket(PathBuf::new()));
    proxy.script([Wire::up(At::Bytes(0), End::Reset)]);
    proxy.clear_script();
    proxy.otherwise(Wire::down(At::Words(b""), End::Silent));
    proxy.end_all(End::Cut);
    proxy.arm(b"", End::Cut);
    proxy.draw(Wire::default);
    let Tally {
        ended,
        delayed,
        repeated,
    } = proxy.tally();
    let _unused = (proxy.passed(), proxy.accepted(), proxy.is_armed());
    let _tally = (ended, delayed, repeated);
};

async fn serve(
    client: TcpStream,
    target: Target,
    wire: Wire,
    mut all: watch::Receiver<Option<End>>,
    shared: Arc<Shared>,
) {
    client.set_nodelay(true).unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let connected = connect(&target).await;
    let Ok((mut from_server, mut to_server)) = connected else {
        // The server is away: so is the wire.
        return;
    };
    let twin = match wire.again {
        Some(later) => Twin::open(&target, later).await,
        None => None,
    };
    let turn = AtomicBool::new(true);
    let up = Passing {
        way: &wire.up,
        shared: &shared,
        is_up: true,
        turn: &turn,
        twin: twin.as_ref(),
    };
    let down = Passing {
        way: &wire.down,
        is_up: false,
        ..up
    };
    let end = {
        let up = up.pass(&mut from_client, &mut to_server);
        let down = down.pass(&mut from_server, &mut to_client);
        let both = async {
            tokio::pin!(up, down);
            // Who closes may still be answered; an end that was asked for is for both.
            tokio::select! {
                end = &mut up => match end { Some(end) => Some(end), None => down.await },
                end = &mut down => match end { Some(end) => Some(end), None => up.await },
            }
        };
        tokio::select! {
            end = both => end,
            Ok(_) = all.changed() => *all.borrow(),
        }
    };
    if end.is_some() {
        shared.tally.lock().unwrap().ended += 1;
    }
    match end {
        Some(End::Silent) => std::future::pending().await,
        Some(End::Reset) => {
            let client = from_client.reunite(to_client).unwrap();
            client.set_zero_linger().unwrap();
        }
        Some(End::Cut) | None => {}
    }
}

/// The second connection of a wire that delivers twice. It outlives the first until the server has
/// had what came.
struct Twin {
    later: Duration,
    pieces: mpsc::UnboundedSender<(Instant, Vec<u8>)>,
}

impl Twin {
    async fn open(target: &Target, later: Duration) -> Option<Twin> {
        let (mut from_server, mut to_server) = connect(target).await.ok()?;
        let (pieces, mut due) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
        let write = async move {
            while let Some((at, piece)) = due.recv().await {
                sleep_until(at).await;
                if to_server.write_all(&piece).await.is_err() {
                    break;
                }
            }
            // Open until the server closes: a client that leaves is another fault.
            to_server
        };
        let drain = async move {
            let mut unheard = vec![0; CHUNK_BYTES];
            while let Ok(1..) = from_server.read(&mut unheard).await {}
        };
        tokio::spawn(async move { tokio::join!(write, drain) });
        Some(Twin { later, pieces })
    }

    fn say(&self, piece: &[u8]) {
        let at = Instant::now() + self.later;
        drop(self.pieces.send((at, piece.to_vec())));
    }
}

type Halves = (
    Box<dyn AsyncRead + Send + Unpin>,
    Box<dyn AsyncWrite + Send + Unpin>,
);

async fn connect(target: &Target) -> std::io::Result<Halves> {
    Ok(match target {
        Target::Tcp(address) => {
            let server = TcpStream::connect(address).await?;
            server.set_nodelay(true)?;
            let (read, write) = server.into_split();
            (Box::new(read), Box::new(write))
        }
        Target::Unix(path) => {
            let (read, write) = UnixStream::connect(path).await?.into_split();
            (Box::new(read), Box::new(write))
        }
    })
}

/// One direction of a connection.
#[derive(Clone, Copy)]
struct Passing<'c> {
    way: &'c Way,
    shared: &'c Shared,
    is_up: bool,
    /// Whether what comes up next begins a turn: the server has spoken since.
    turn: &'c AtomicBool,
    twin: Option<&'c Twin>,
}

impl Passing<'_> {
    /// Passes bytes on until one side closes (`None`) or the end comes that was asked for.
    async fn pass(
        self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Option<End> {
        let Passing {
            way, shared, is_up, ..
        } = self;
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut passed = 0;
        loop {
            let Ok(n @ 1..) = from.read(&mut buffer).await else {
                to.shutdown().await.ok();
                return None;
            };
            let bytes = &buffer[..n];
            let (n, end) = fate(bytes, passed, way, shared, is_up);
            if !way.delay.is_zero() {
                shared.tally.lock().unwrap().delayed += 1;
                sleep(way.delay).await;
            }
            if let Some(rate) = way.bytes_per_s {
                sleep(Duration::from_millis(n as u64 * 1_000 / rate)).await;
            }
            self.repeat(&bytes[..n]);
            // Counted before they pass: whoever has them may ask for the count at once.
            let total = if is_up {
                &shared.up_bytes
            } else {
                &shared.down_bytes
            };
            total.fetch_add(n as u64, Ordering::SeqCst);
            if to.write_all(&bytes[..n]).await.is_err() {
                return None;
            }
            passed += n as u64;
            if end.is_some() {
                return end;
            }
        }
    }

    fn repeat(&self, piece: &[u8]) {
        let begins = self.turn.swap(!self.is_up, Ordering::SeqCst);
        if let (true, Some(twin)) = (self.is_up, self.twin) {
            twin.say(piece);
            self.shared.tally.lock().unwrap().repeated += u64::from(begins);
        }
    }
}

/// How much of a piece passes, and what comes then.
fn fate(
    bytes: &[u8],
    passed: u64,
    way: &Way,
    shared: &Shared,
    is_up: bool,
) -> (usize, Option<End>) {
    let find = |words: &[u8]| bytes.windows(words.len()).position(|it| it == words);
    if !is_up {
        let mut armed = shared.armed.lock().unwrap();
        if let Some((words, end)) = *armed
            && let Some(at) = find(words)
        {
            *armed = None;
            return (at, Some(end));
        }
    }
    match way.end {
        Some((At::Bytes(limit), end)) if limit <= passed + bytes.len() as u64 => {
            (usize::try_from(limit - passed).unwrap(), Some(end))
        }
        Some((At::Words(words), end)) => match find(words) {
            Some(at) => (at, Some(end)),
            None => (bytes.len(), None),
        },
        _ => (bytes.len(), None),
    }
}
