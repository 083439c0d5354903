//! Rebuilds the executable that embeds a new migration or profile, and stamps it with its release.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-changed=profiles");
    println!("cargo:rerun-if-changed=.git/HEAD");
    println!("cargo:rerun-if-changed=.git/refs/heads");
    println!("cargo:rerun-if-env-changed=FRAUDPLAT_RELEASE");
    println!("cargo:rustc-env=FRAUDPLAT_RELEASE={}", release());
}

/// What the builder says it is, else the git revision, else the package's version.
fn release() -> String {
    if let Some(release) = std::env::var_os("FRAUDPLAT_RELEASE") {
        return release.to_string_lossy().into_owned();
    }
    let git = Command::new("git").args(["rev-parse", "HEAD"]).output();
    let revision = git.ok().filter(|output| output.status.success());
    let revision = revision.and_then(|output| String::from_utf8(output.stdout).ok());
    let version = || format!("v{}", env!("CARGO_PKG_VERSION"));
    revision.map_or_else(version, |revision| format!("git:{}", revision.trim()))
}
