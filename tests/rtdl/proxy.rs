//! A wire to the database that can be cut at the worst moment: after the server has committed,
//! before it has said so.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixStream};

/// What is said when a COMMIT is through, in the server's protocol.
const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMMIT\0";

#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    is_armed: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) async fn over(socket: PathBuf) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy {
            address: listener.local_addr().unwrap(),
            is_armed: Arc::default(),
        };
        let is_armed = proxy.is_armed.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&socket).await.unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(pass(from_client, to_server, None));
                tokio::spawn(pass(from_server, to_client, Some(is_armed.clone())));
            }
        });
        proxy
    }

    /// The next commit's answer is lost, once.
    pub(crate) fn arm(&self) {
        self.is_armed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.is_armed.load(Ordering::SeqCst)
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    is_armed: Option<Arc<AtomicBool>>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        let says_committed = buffer[..n]
            .windows(COMMITTED.len())
            .any(|it| it == COMMITTED);
        if says_committed
            && is_armed
                .as_ref()
                .is_some_and(|it| it.swap(false, Ordering::SeqCst))
        {
            return;
        }
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}
