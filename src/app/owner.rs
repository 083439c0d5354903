//! One owner, many shells: a command on a data directory that another process owns is carried out
//! by that owner and told back frame by frame.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, bail};
use futures::StreamExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::app::output::{Frame, Output};
use crate::substrate::auth::client::Outgoing;

/// What is asked of the owner.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// The arguments as typed, the program's name first.
    pub(crate) args: Vec<String>,
    /// Where relative paths begin.
    pub(crate) cwd: PathBuf,
}

/// Sends the command to the owner and draws what comes back. Whoever can read the owner's token in
/// the data directory may command it.
///
/// # Errors
/// When the owner does not answer or breaks off.
pub(crate) async fn ask(
    owner: &Outgoing,
    args: Vec<OsString>,
    output: &Output,
) -> anyhow::Result<u8> {
    let text = |arg: OsString| {
        arg.into_string()
            .map_err(|_| anyhow::anyhow!("an argument is not UTF-8"))
    };
    let asked = Asked {
        args: args.into_iter().map(text).collect::<Result<_, _>>()?,
        cwd: std::env::current_dir()?,
    };
    let request = owner
        .request(reqwest::Method::POST, "/v1/commands")
        .json(&asked);
    let response = request
        .send()
        .await
        .context("asking the owner of the data directory")?;
    if !response.status().is_success() {
        bail!(
            "the owner of the data directory refused the command: HTTP {}",
            response.status()
        );
    }
    let mut body = response.bytes_stream();
    let mut pending = Vec::new();
    while let Some(chunk) = body.next().await {
        pending.extend_from_slice(&chunk.context("the owner broke off")?);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            match serde_json::from_slice(&line).context("the owner's answer")? {
                Frame::Exit { code } => return Ok(code),
                frame => output.frame(frame),
            }
        }
    }
    bail!("the owner ended before the command did")
}
