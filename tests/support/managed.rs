//! A Postgres as somebody else would run it: on a port, with TLS and a certificate of its own
//! authority, an owner, and a login that is nothing but a login. It can be stopped and started.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use fraudplat::substrate::data_dir::OwnedDataDir;
use fraudplat::substrate::db::Db;
use fraudplat::substrate::db::managed::{Login, ManagedOptions, Url};
use fraudplat::substrate::db::private::PrivatePostgres;
use fraudplat::substrate::secret::Secret;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::ports::free_port;
use crate::support::{Sweeper, options, patient, temporary_data_dir};

/// The one that makes the login: a superuser, as on a server that is installed by hand.
const OWNER: &str = "fraudplat_owner";
pub(crate) const LOGIN: &str = "somebody";
const PASSWORD: &str = "a password of nobody";
/// What the certificate names beside the address.
pub(crate) const HOST: &str = "localhost";

/// Ends the server when this process is gone, and says nothing.
const WATCHDOG: &str = r#"read -r _; kill -INT "$1" 2>/dev/null"#;

pub(crate) struct Managed {
    pub(crate) port: u16,
    /// The authority that signed the server's certificate, and another that signed nothing.
    pub(crate) ca_file: PathBuf,
    pub(crate) other_ca_file: PathBuf,
    owner_password: String,
    binary: PathBuf,
    libraries: Option<std::ffi::OsString>,
    running: Mutex<Option<Running>>,
    data_dir: OwnedDataDir,
    _sweeper: Sweeper,
}

struct Running {
    server: Child,
    _watchdog: Child,
}

impl Managed {
    /// Starts one with settings (`name=value`) beside its own. Its database `fraudplat` is empty.
    pub(crate) async fn start(settings: &[&str]) -> Managed {
        let (data_dir, sweeper) = temporary_data_dir();
        // The private server makes files, roles and the database; then it is started as another.
        let private = PrivatePostgres::start(&data_dir, &options()).await.unwrap();
        let process = PathBuf::from(format!("/proc/{}", private.pid()));
        let binary = std::fs::read_link(process.join("exe")).unwrap();
        let libraries = environment(&process, "LD_LIBRARY_PATH=");
        let owner = Db::open(&private.owner(), &patient()).unwrap();
        let login =
            format!("CREATE ROLE {LOGIN} LOGIN PASSWORD '{PASSWORD}'; DROP ROLE fraudplat_app");
        owner
            .get()
            .await
            .unwrap()
            .batch_execute(&login)
            .await
            .unwrap();
        owner.close();
        private.stop().await.unwrap();

        let pg = data_dir.pg();
        let uid = std::fs::metadata(pg.join("data")).unwrap().uid();
        let (ca_file, other_ca_file) = certificates(&pg, uid);
        let managed = Managed {
            port: free_port(),
            ca_file,
            other_ca_file,
            owner_password: std::fs::read_to_string(pg.join("password")).unwrap(),
            binary,
            libraries,
            running: Mutex::default(),
            data_dir,
            _sweeper: sweeper,
        };
        managed.run(settings);
        managed
    }

    /// Starts the server again, on the same port.
    pub(crate) fn run(&self, settings: &[&str]) {
        let pg = self.data_dir.pg();
        let file = |name: &str| pg.join(name).display().to_string();
        let metadata = std::fs::metadata(pg.join("data")).unwrap();
        let mut command = Command::new(&self.binary);
        command
            .arg("-D")
            .arg(pg.join("data"))
            .arg("-p")
            .arg(self.port.to_string());
        let own = [
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", file("server.crt")),
            format!("ssl_key_file={}", file("server.key")),
            "shared_buffers=32MB".to_owned(),
            "timezone=GMT".to_owned(),
            "log_timezone=GMT".to_owned(),
            "max_locks_per_transaction=256".to_owned(),
        ];
        for setting in own
            .iter()
            .map(String::as_str)
            .chain(settings.iter().copied())
        {
            command.arg("-c").arg(setting);
        }
        let log = std::fs::File::create(pg.join("managed.log")).unwrap();
        command
            .env_clear()
            .env("LC_ALL", "C")
            .envs(self.libraries.iter().map(|it| ("LD_LIBRARY_PATH", it)))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0);
        if rustix::process::geteuid().is_root() {
            command.uid(metadata.uid()).gid(metadata.gid());
        }
        let server = command.spawn().unwrap();
        let watchdog = Command::new("/bin/sh")
            .args(["-c", WATCHDOG, "fraudplat-test-managed"])
            .arg(server.id().to_string())
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        *self.running.lock().unwrap() = Some(Running {
            server,
            _watchdog: watchdog,
        });
        let deadline = Instant::now() + Duration::from_secs(240);
        while !self.is_ready() {
            let log = || std::fs::read_to_string(pg.join("managed.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "it does not start:\n{}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the server writes where it accepts connections.
    fn is_ready(&self) -> bool {
        let pid_file = self.data_dir.pg().join("data/postmaster.pid");
        let text = std::fs::read_to_string(pid_file).unwrap_or_default();
        let pid = self
            .running
            .lock()
            .unwrap()
            .as_ref()
            .map(|it| it.server.id());
        text.lines().next().and_then(|it| it.parse().ok()) == pid
            && text.lines().nth(7).is_some_and(|it| it.trim() == "ready")
    }

    /// Stops it as a machine stops that loses power: connections break, nothing is tidied.
    pub(crate) fn crash(&self) {
        self.stop(rustix::process::Signal::QUIT);
    }

    fn stop(&self, signal: rustix::process::Signal) {
        let Some(mut running) = self.running.lock().unwrap().take() else {
            return;
        };
        let pid = rustix::process::Pid::from_child(&running.server);
        rustix::process::kill_process(pid, signal).ok();
        running.server.wait().unwrap();
        running._watchdog.kill().ok();
        running._watchdog.wait().ok();
    }

    fn url(&self, role: &str, database: &str, host: &str, mode: &str) -> Url {
        let port = self.port;
        Url::new(format!(
            "postgres://{role}@{host}:{port}/{database}?sslmode={mode}"
        ))
    }

    /// As a profile would describe a database of this server.
    pub(crate) fn options(&self, database: &str) -> ManagedOptions {
        let login = |role: &str, password: &str| Login {
            url: self.url(role, database, HOST, "verify-full"),
            password: Some(Secret::new(password)),
            password_file: None,
        };
        ManagedOptions {
            owner: Some(login(OWNER, self.owner_password.trim())),
            ca_file: Some(self.ca_file.clone()),
            // A slow machine is no fault of what is tested.
            wait_ms_max: 120_000,
            connect_ms_max: 120_000,
            ..ManagedOptions::new(login(LOGIN, PASSWORD))
        }
    }

    /// The same, its login reached in another way.
    pub(crate) fn options_at(&self, database: &str, host: &str, mode: &str) -> ManagedOptions {
        let mut options = self.options(database);
        options.app.url = self.url(LOGIN, database, host, mode);
        if mode != "verify-full" {
            options.ca_file = None;
        }
        options
    }

    /// The same, through another port of this machine.
    pub(crate) fn options_through(&self, database: &str, port: u16, mode: &str) -> ManagedOptions {
        let mut options = self.options_at(database, HOST, mode);
        let url = format!("postgres://{LOGIN}@{HOST}:{port}/{database}?sslmode={mode}");
        options.app.url = Url::new(url);
        options
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        self.stop(rustix::process::Signal::INT);
    }
}

/// An authority, the server's certificate by it, and an authority that nobody asked.
fn certificates(dir: &Path, uid: u32) -> (PathBuf, PathBuf) {
    let authority = || {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let (ca, other) = (authority(), authority());
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([HOST.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &ca).unwrap();
    let write = |name: &str, text: String| -> io::Result<PathBuf> {
        let path = dir.join(name);
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        chown(&path, Some(uid), None)?;
        Ok(path)
    };
    write("server.crt", certificate.pem()).unwrap();
    write("server.key", key.serialize_pem()).unwrap();
    (
        write("ca.crt", ca.pem()).unwrap(),
        write("other-ca.crt", other.pem()).unwrap(),
    )
}

/// A variable of another process.
fn environment(process: &Path, prefix: &str) -> Option<std::ffi::OsString> {
    use std::os::unix::ffi::OsStrExt as _;
    let all = std::fs::read(process.join("environ")).unwrap();
    let found = all
        .split(|it| *it == 0)
        .find_map(|it| it.strip_prefix(prefix.as_bytes()));
    found.map(|it| std::ffi::OsStr::from_bytes(it).to_owned())
}
