//! Servers that speak S3, for tests: one of our own making over `s3s-fs`, in process, which also
//! answers as told; and SeaweedFS, a real one.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its world has failed"
)]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use bytes::Bytes;
use fraudplat::substrate::aws::Credentials;
use fraudplat::substrate::clock::SystemEntropy;
use fraudplat::substrate::objects::Objects as _;
use fraudplat::substrate::objects::s3::{Options, S3Objects};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::sync::OnceCell;

use crate::ports::free_port;
use crate::tools::tool;

const KEY_ID: &str = "test";
const SECRET: &str = "a secret of nobody";

pub(crate) fn credentials() -> Credentials {
    Credentials::Keys {
        id: KEY_ID.to_owned(),
        secret: SECRET.to_owned(),
    }
}

/// What the server of our own does with the next request instead of what it should.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// What it should.
    Right,
    /// Answers so and does nothing.
    Only(u16, &'static str),
    /// Does it, and answers so.
    Done(u16, &'static str),
}

/// What a request said before its body.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
}

/// `s3s-fs` behind a port, with a fresh directory. It ends with the test's runtime.
pub(crate) struct S3Server {
    pub(crate) address: SocketAddr,
    script: Script,
    dir: tempfile::TempDir,
}

#[derive(Clone, Default)]
struct Script {
    root: PathBuf,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    heads: Arc<Mutex<Vec<Head>>>,
    /// s3s-fs looks whether an object is there and then writes it. A store has no moment between;
    /// so one request is served at a time, once all of it is here.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl S3Server {
    pub(crate) async fn start() -> S3Server {
        let dir = tempfile::tempdir().unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(dir.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        let (service, script) = (
            builder.build(),
            Script {
                root: dir.path().to_owned(),
                ..Script::default()
            },
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = script.clone();
        let app = axum::Router::new().fallback(move |request: Request<Body>| {
            let (script, service) = (serving.clone(), service.clone());
            async move { script.serve(service, request).await }
        });
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        S3Server {
            address,
            script,
            dir,
        }
    }

    /// What the next requests get, in order.
    pub(crate) fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.script.answers.lock().unwrap().extend(answers);
    }

    /// An object that no client of ours could have written.
    pub(crate) fn plant(&self, bucket: &str, name: &str) {
        let path = self.dir.path().join(bucket).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }

    /// The requests so far; they are forgotten.
    pub(crate) fn take_heads(&self) -> Vec<Head> {
        std::mem::take(&mut self.script.heads.lock().unwrap())
    }
}

impl Script {
    async fn serve(
        &self,
        service: S3Service,
        request: Request<Body>,
    ) -> Result<Response<Body>, Infallible> {
        let (head, body) = request.into_parts();
        let body = match to_bytes(body, usize::MAX).await {
            Ok(body) => body,
            Err(_) => return Ok(refusal(400, "IncompleteBody")),
        };
        self.heads.lock().unwrap().push(Head {
            method: head.method.clone(),
            uri: head.uri.clone(),
            headers: head.headers.clone(),
        });
        let answer = self.answers.lock().unwrap().pop_front();
        if let Some(Answer::Only(status, code)) = answer {
            return Ok(refusal(status, code));
        }
        // s3s-fs fails on a folder of its own making; to a store it is nothing.
        let is_read = head.method == Method::GET || head.method == Method::HEAD;
        if is_read && self.is_folder(head.uri.path()) {
            return Ok(refusal(404, "NoSuchKey"));
        }
        let _turn = self.turn.lock().await;
        let request = Request::from_parts(head, s3s::Body::from(body));
        let response = service.call(request).await;
        if let Some(Answer::Done(status, code)) = answer {
            return Ok(refusal(status, code));
        }
        Ok(match response {
            Ok(response) => response.map(Body::new),
            Err(_) => refusal(500, "InternalError"),
        })
    }
}

impl Script {
    /// Whether a path of the protocol, `/bucket/key`, is a folder of the disk, or below a file.
    fn is_folder(&self, path: &str) -> bool {
        let path = path.trim_start_matches('/').replace("%3D", "=");
        let has_key = path.split_once('/').is_some_and(|(_, key)| !key.is_empty());
        let path = self.root.join(&path);
        has_key && (path.is_dir() || path.ancestors().skip(1).any(std::path::Path::is_file))
    }
}

fn refusal(status: u16, code: &str) -> Response<Body> {
    let body = format!("<Error><Code>{code}</Code><Message>as told</Message></Error>");
    Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .body(Body::from(body))
        .unwrap()
}

/// The address of SeaweedFS: one for each test process, started with the first call. It never
/// outlives the process: a pipe that only this process holds closes when it ends, however it ends,
/// and then a watchdog stops the server and removes its files.
pub(crate) async fn seaweed() -> SocketAddr {
    static SERVER: OnceCell<(SocketAddr, Child)> = OnceCell::const_new();
    let start = || async { tokio::task::spawn_blocking(start_seaweed).await.unwrap() };
    SERVER.get_or_init(start).await.0
}

/// Ports that it listens on, in the order of its options.
const SEAWEED_PORTS: [&str; 10] = [
    "s3.port",
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "admin.port",
    "admin.port.grpc",
];

const SEAWEED_WATCHDOG: &str = r#"
    dir=$1; shift
    "$@" >"$dir/log" 2>&1 </dev/null &
    pid=$!
    read -r _
    kill "$pid"; wait "$pid"
    # Sockets that it makes in /tmp, whatever it is told.
    for port in $(cat "$dir/ports"); do rm -f /tmp/seaweedfs-*-"$port".sock; done
    rm -rf "$dir"
"#;

fn start_seaweed() -> (SocketAddr, Child) {
    let dir = tempfile::Builder::new().prefix("fp-weed.").tempdir();
    let dir = dir.unwrap().keep();
    let ports = SEAWEED_PORTS.map(|_| free_port());
    let words: Vec<String> = ports.iter().map(ToString::to_string).collect();
    std::fs::write(dir.join("ports"), words.join(" ")).unwrap();
    let child = Command::new("/bin/sh")
        .args(["-c", SEAWEED_WATCHDOG, "fraudplat-test-weed"])
        .arg(&dir)
        .arg(tool("weed"))
        .arg("mini")
        .arg(format!("-dir={}", dir.display()))
        .arg(format!("-filer.localSocket={}/filer.sock", dir.display()))
        .args([
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-master.telemetry=false",
        ])
        .args([
            "-webdav=false",
            "-admin.ui=false",
            "-s3.autoCreateBucket=false",
        ])
        .args(["-s3.port.iceberg=0", "-s3.port.lance=0"])
        .args(
            SEAWEED_PORTS
                .iter()
                .zip(&words)
                .map(|(name, port)| format!("-{name}={port}")),
        )
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .current_dir(&dir)
        .stdin(Stdio::piped())
        // A Ctrl-C is for the test; the watchdog sees its end.
        .process_group(0)
        .spawn()
        .unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], ports[0]));
    wait_until_it_writes(address, &dir);
    (address, child)
}

/// It answers before it has a place to write to.
fn wait_until_it_writes(address: SocketAddr, dir: &std::path::Path) {
    let deadline = Instant::now() + Duration::from_secs(240);
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let writes = runtime.block_on(async {
            let options = Options {
                endpoint_url: Some(format!("http://{address}")),
                path_style: true,
                attempts_max: 1,
                ..Options::new("ready")
            };
            let store = S3Objects::open(options, &credentials(), Arc::new(SystemEntropy)).await;
            let (store, key) = (store.unwrap(), "ready".parse().unwrap());
            while Instant::now() < deadline {
                let is_there = store.provision().await.is_ok();
                if is_there && store.put_new(&key, Bytes::new()).await.is_ok() {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            false
        });
        tell.send(writes).unwrap();
    });
    let log = || std::fs::read_to_string(dir.join("log")).unwrap_or_default();
    assert!(told.recv().unwrap(), "SeaweedFS did not start:\n{}", log());
}
