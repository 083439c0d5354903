//! Secrets of a data directory: the token of its owner, and the key that card tokens are made with.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;

use crate::app::commands::Refusal;
use crate::contracts::code::Code;
use crate::substrate::clock::Entropy;
use crate::substrate::data_dir::OwnedDataDir;
use crate::substrate::secret::Secret;

const SIGNING_BYTES_MIN: usize = 16;

/// The token that lets another shell command this process.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn owner_token(data_dir: &OwnedDataDir) -> anyhow::Result<String> {
    let path = data_dir.token_path();
    let token = std::fs::read_to_string(&path);
    Ok(token
        .with_context(|| format!("reading {}", path.display()))?
        .trim()
        .to_owned())
}

/// The secrets that sign for a receiver: a line each, the one in use first, then the one before.
///
/// # Errors
/// [`Refusal`] for a file that cannot be read, or holds none, too many or too short ones.
pub(crate) fn signing_secrets(path: &Path) -> Result<Vec<Secret>, Refusal> {
    let refused = |why: &str| {
        let detail = format!("{}: {why}", path.display());
        Refusal::new(Code::SecretUnreadable, detail)
    };
    let text = std::fs::read_to_string(path).map_err(|cause| refused(&cause.to_string()))?;
    let lines = text.lines().map(str::trim).filter(|it| !it.is_empty());
    let secrets: Vec<Secret> = lines.map(Secret::new).collect();
    let is_short = |it: &Secret| it.reveal().len() < SIGNING_BYTES_MIN;
    match secrets.len() {
        1 | 2 if !secrets.iter().any(is_short) => Ok(secrets),
        1 | 2 => Err(refused("a signing secret has at least 16 characters")),
        _ => Err(refused("one or two lines, a signing secret each")),
    }
}

/// The key of card tokens: of the file that gates share, else made once per data directory, for the
/// same card is the same token within a run.
///
/// # Errors
/// When it can be neither read nor made.
pub(crate) fn token_key(
    shared: Option<&Path>,
    data_dir: &OwnedDataDir,
    entropy: &dyn Entropy,
) -> anyhow::Result<[u8; 32]> {
    if let Some(path) = shared {
        let key = std::fs::read(path).ok().and_then(|it| it.try_into().ok());
        let detail = || format!("gate.token_key_file {}: not 32 bytes", path.display());
        return key.ok_or_else(|| Refusal::new(Code::SecretUnreadable, detail()).into());
    }
    let path = data_dir.path().join("run/token.key");
    let failed = || format!("reading the token key {}", path.display());
    let mut key = [0u8; 32];
    match File::open(&path) {
        Ok(mut file) => {
            file.read_exact(&mut key).with_context(failed)?;
            return Ok(key);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(failed),
    }
    entropy.fill(&mut key);
    // Under another name first: a key that was half written must never be used.
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(&key)?;
    file.sync_all()?;
    std::fs::rename(&fresh, &path)?;
    File::open(data_dir.path().join("run"))?.sync_all()?;
    Ok(key)
}
