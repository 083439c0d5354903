//! Whom the server runs as. PostgreSQL refuses root, so root lends it an unprivileged account that
//! has a passwd entry (initdb asks for its name); anyone else runs it as themselves.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use tokio::process::Command;

use super::{Error, failed};

const PASSWD: &str = "/etc/passwd";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    name: String,
    uid: u32,
    gid: u32,
    /// Whether this process is root and must change to it.
    lent: bool,
}

impl Account {
    /// The account for the server below `dir`: as root the one that its files belong to already.
    pub(super) fn of(dir: &Path) -> Result<Account, Error> {
        let me = rustix::process::geteuid();
        let data = dir.join("data");
        let owner = data
            .exists()
            .then(|| fs::metadata(&data).map_err(failed("look at", &data)))
            .transpose()?
            .map(|it| it.uid());
        if me.is_root() {
            let passwd = fs::read_to_string(PASSWD).map_err(failed("read", Path::new(PASSWD)))?;
            return choose(&passwd, owner).ok_or(Error::NoAccount);
        }
        match owner {
            Some(found) if found != me.as_raw() => Err(Error::ForeignOwner {
                path: data,
                found,
                expected: me.as_raw(),
            }),
            _ => Ok(Account {
                name: format!("uid {}", me.as_raw()),
                uid: me.as_raw(),
                gid: rustix::process::getegid().as_raw(),
                lent: false,
            }),
        }
    }

    pub(super) fn uid(&self) -> u32 {
        self.uid
    }

    /// Runs a command as this account, in a process group of its own: a Ctrl-C in our terminal is
    /// for us, and we stop the server in our own time.
    pub(super) fn dress(&self, command: &mut Command) {
        command.process_group(0);
        if self.lent {
            // Dropping root's uid also drops its supplementary groups.
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Gives a file or directory to this account.
    pub(super) fn own(&self, path: &Path) -> Result<(), Error> {
        if !self.lent {
            return Ok(());
        }
        chown(path, Some(self.uid), Some(self.gid)).map_err(failed("change the owner of", path))
    }

    /// Refuses a path with a directory above it that this account cannot pass through, by name:
    /// the server's own message would not say which.
    pub(super) fn check_passage(&self, path: &Path) -> Result<(), Error> {
        if !self.lent {
            return Ok(());
        }
        for dir in path.ancestors() {
            let meta = fs::metadata(dir).map_err(failed("look at", dir))?;
            if !passes(self.uid, self.gid, &(meta.uid(), meta.gid(), meta.mode())) {
                return Err(Error::Impassable {
                    account: self.name.clone(),
                    dir: dir.to_owned(),
                    mode: meta.mode() & 0o7777,
                });
            }
        }
        Ok(())
    }
}

/// Whether the search bit that counts for `uid` is set; of owner, group and others the first that
/// applies decides.
fn passes(uid: u32, gid: u32, (owner, group, mode): &(u32, u32, u32)) -> bool {
    let bit = match () {
        () if uid == *owner => 0o100,
        () if gid == *group => 0o010,
        () => 0o001,
    };
    mode & bit != 0
}

/// The entry whose uid owns the files already, else `postgres`, else `nobody`; never root.
fn choose(passwd: &str, owner: Option<u32>) -> Option<Account> {
    let accounts: Vec<Account> = passwd
        .lines()
        .filter_map(parse)
        .filter(|it| it.uid != 0)
        .collect();
    let by_name = |name: &str| accounts.iter().find(|it| it.name == name);
    owner
        .and_then(|uid| accounts.iter().find(|it| it.uid == uid))
        .or_else(|| by_name("postgres"))
        .or_else(|| by_name("nobody"))
        .cloned()
}

fn parse(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Account {
        name,
        uid,
        gid,
        lent: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbad line\nann:x:1000:1000::/:/bin/sh\n\
                          nobody:x:65534:65534::/:/bin/false\npostgres:x:101:104::/:/bin/sh\n";

    #[track_caller]
    fn check(passwd: &str, owner: Option<u32>, name: Option<&str>) {
        let found = choose(passwd, owner).map(|it| it.name);
        assert_eq!(found.as_deref(), name);
    }

    #[test]
    fn the_files_decide_then_postgres_then_nobody() {
        check(PASSWD, Some(1000), Some("ann"));
        check(PASSWD, None, Some("postgres"));
        check(PASSWD, Some(4242), Some("postgres"));
        check(&PASSWD.replace("postgres", "other"), None, Some("nobody"));
        check("root:x:0:0::/:/bin/sh\npostgres:x:0:0::/:/", None, None);
    }

    #[test]
    fn the_first_class_that_applies_decides_the_passage() {
        let (uid, gid) = (101, 104);
        assert!(passes(uid, gid, &(0, 0, 0o711)));
        assert!(!passes(uid, gid, &(0, 0, 0o700)));
        assert!(passes(uid, gid, &(uid, 0, 0o700)));
        assert!(!passes(uid, gid, &(uid, 0, 0o011)));
        assert!(!passes(uid, gid, &(0, gid, 0o701)));
        assert!(passes(uid, gid, &(0, gid, 0o710)));
    }
}
