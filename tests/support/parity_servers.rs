//! Kinesalite, SeaweedFS and Postgres, as `scripts/parity` starts them for a test alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::home::Home;

/// Stopped when dropped.
pub(crate) struct Servers {
    dir: PathBuf,
    /// What the profile `local_parity` needs on top to find them.
    pub(crate) env: Vec<(String, String)>,
}

fn parity(verb: &str, dir: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/parity");
    let ran = Command::new("bash").arg(script).arg(verb).arg(dir).output();
    let ran = ran.unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "parity {verb}: {said}");
}

impl Servers {
    pub(crate) fn up(home: &Home) -> Servers {
        let dir = home.dir().join("servers");
        parity("up", &dir);
        let script = format!("source {}/env && env -0", dir.display());
        let mut shell = Command::new("bash");
        shell.args(["-c", &script]).env_clear();
        let printed = shell.env("PATH", "/usr/bin:/bin").output().unwrap();
        let text = String::from_utf8(printed.stdout).unwrap();
        let named = |name: &str| name.starts_with("AWS_") || name.starts_with("FRAUDPLAT__");
        let pairs = text.split('\0').filter_map(|it| it.split_once('='));
        let env = pairs.filter(|(name, _)| named(name));
        Servers {
            env: env
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            dir,
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        parity("down", &self.dir);
    }
}
