//! Finding PostgreSQL on the machine: a configured directory, `PATH`, the places where packages put
//! it, an unpacked package tree.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::{Error, Options};

/// Older ones lack `CREATE OR REPLACE TRIGGER`, and scram by default.
const MAJOR_MIN: u32 = 14;

/// Where Debian keeps one directory per major version.
const DEBIAN: &str = "usr/lib/postgresql";
const SOURCE_BUILD: &str = "/usr/local/pgsql/bin";

/// A directory with `postgres` and `initdb`, and what they need to run from there.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    pub(super) dir: PathBuf,
    /// `LD_LIBRARY_PATH` of an unpacked tree, whose libraries the system does not know.
    libraries: Option<PathBuf>,
    /// `initdb -L` of an unpacked tree.
    pub(super) share: Option<PathBuf>,
}

impl Binaries {
    /// The first usable ones: of version `major` where files of that version are there already,
    /// else of any that is new enough, the newest first.
    pub(super) async fn find(options: &Options, major: Option<u32>) -> Result<Binaries, Error> {
        if let Some(dir) = &options.binaries_dir {
            let binaries = Binaries::installed(dir);
            return match binaries.major().await {
                Ok(found) if suits(found, major) => Ok(binaries),
                Ok(found) => Err(Error::BadBinaries {
                    dir: dir.clone(),
                    why: format!("it is version {found}, wanted {}", wanted(major)),
                }),
                Err(why) => Err(Error::BadBinaries {
                    dir: dir.clone(),
                    why,
                }),
            };
        }
        for binaries in candidates(options) {
            if let Ok(found) = binaries.major().await
                && suits(found, major)
            {
                return Ok(binaries);
            }
        }
        let tree = options.unpacked_root.as_deref().map(Path::display);
        let tree = tree.map(|it| format!(", {it}")).unwrap_or_default();
        Err(Error::NoBinaries {
            wanted: wanted(major),
            searched: format!("PATH, /{DEBIAN}, {SOURCE_BUILD}{tree}"),
        })
    }

    /// A command of these binaries, with nothing of our environment: `PG…` and locale variables of
    /// the user must not change what the server does.
    pub(super) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.dir.join(name));
        command.env_clear().env("LC_ALL", "C");
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }

    fn installed(dir: &Path) -> Binaries {
        // Links on PATH lead elsewhere; the server finds its other files beside the real one.
        let real = fs::canonicalize(dir.join("postgres")).ok();
        let real = real.as_deref().and_then(Path::parent).unwrap_or(dir);
        Binaries {
            dir: real.to_owned(),
            libraries: None,
            share: None,
        }
    }

    async fn major(&self) -> Result<u32, String> {
        if !self.dir.join("initdb").exists() {
            return Err("it has no `initdb`".to_owned());
        }
        let output = self.command("postgres").arg("--version").output().await;
        let output = output.map_err(|error| format!("`postgres --version`: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        parse_major(&text).ok_or_else(|| {
            let complaint = String::from_utf8_lossy(&output.stderr);
            format!(
                "`postgres --version` says `{}{}`",
                text.trim(),
                complaint.trim()
            )
        })
    }
}

fn suits(found: u32, major: Option<u32>) -> bool {
    major.map_or(MAJOR_MIN <= found, |it| it == found)
}

fn wanted(major: Option<u32>) -> String {
    major.map_or_else(
        || format!("{MAJOR_MIN} or newer"),
        |it| format!("{it} (the version that made the data directory)"),
    )
}

fn candidates(options: &Options) -> Vec<Binaries> {
    let path = options.search_path.clone().unwrap_or_default();
    let mut found: Vec<Binaries> = std::env::split_paths(&path)
        .filter(|dir| dir.join("postgres").exists())
        .map(|dir| Binaries::installed(&dir))
        .collect();
    found.extend(
        majors(Path::new("/"))
            .iter()
            .map(|(_, dir)| Binaries::installed(dir)),
    );
    found.push(Binaries::installed(Path::new(SOURCE_BUILD)));
    // Absolute, for the server starts in its own directory; one that is not there is no candidate.
    let unpacked = options.unpacked_root.as_ref().map(fs::canonicalize);
    if let Some(Ok(root)) = &unpacked {
        let libraries = root.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
        found.extend(majors(root).into_iter().map(|(major, dir)| Binaries {
            dir,
            libraries: Some(libraries.clone()),
            share: Some(root.join(format!("usr/share/postgresql/{major}"))),
        }));
    }
    found
}

/// The `bin` directories of a Debian tree, newest version first.
fn majors(root: &Path) -> Vec<(u32, PathBuf)> {
    let entries = fs::read_dir(root.join(DEBIAN))
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|it| {
            Some((
                it.file_name().to_str()?.parse().ok()?,
                it.path().join("bin"),
            ))
        })
        .filter(|(_, bin): &(u32, PathBuf)| bin.join("postgres").exists())
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` or `… 18beta1`.
fn parse_major(text: &str) -> Option<u32> {
    let version = text.split_once("(PostgreSQL) ")?.1;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_servers_print_them() {
        for (text, major) in [
            (
                "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n",
                Some(15),
            ),
            ("postgres (PostgreSQL) 18beta1\n", Some(18)),
            ("postgres 9\n", None),
        ] {
            assert_eq!(parse_major(text), major, "{text}");
        }
    }

    #[test]
    fn the_newest_of_a_tree_comes_first() {
        let tree = tempfile::tempdir().unwrap();
        for major in ["9", "15", "17", "common"] {
            let bin = tree.path().join(DEBIAN).join(major).join("bin");
            fs::create_dir_all(&bin).unwrap();
            fs::write(bin.join("postgres"), "").unwrap();
        }
        fs::create_dir_all(tree.path().join(DEBIAN).join("18/bin")).unwrap();
        let found: Vec<u32> = majors(tree.path()).into_iter().map(|(it, _)| it).collect();
        assert_eq!(found, [17, 15, 9]);
    }
}
