//! What we depend on is written down and allowed: every direct dependency has its line in
//! `docs/dependencies.md`, and the whole graph keeps to `deny.toml`. The same file is what
//! `cargo deny` reads; this test needs no tool beside cargo, so every run includes it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn every_direct_dependency_has_its_line() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/dependencies.md")).expect("read the page");
    let described: BTreeSet<&str> = page.lines().filter_map(described).collect();
    let metadata = metadata(&["--no-deps"]);
    let direct: BTreeSet<&str> = metadata.packages[0]
        .dependencies
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    let silent: Vec<_> = direct.difference(&described).collect();
    assert!(
        silent.is_empty(),
        "docs/dependencies.md must say what for and why: {silent:?}"
    );
    let gone: Vec<_> = described.difference(&direct).collect();
    assert!(
        gone.is_empty(),
        "docs/dependencies.md describes what Cargo.toml does not name: {gone:?}"
    );
}

#[test]
fn nothing_banned_or_foreign_is_in_the_lock_file() {
    let lock: Lock = read_toml("Cargo.lock");
    let bans = read_toml::<Deny>("deny.toml").bans.deny;
    assert!(!bans.is_empty(), "deny.toml bans nothing");
    let mut faults = Vec::new();
    for package in &lock.package {
        let name = format!("{} {}", package.name, package.version);
        if let Some(ban) = bans.iter().find(|it| it.matches(package)) {
            faults.push(format!("{name} is banned: {}", ban.reason));
        }
        // Our own package has no source.
        if package.source.as_deref().is_some_and(|it| it != CRATES_IO) {
            faults.push(format!("{name} is not from crates.io"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A second version of one of these is a second HTTP or TLS stack.
#[test]
fn there_is_one_http_and_one_tls_stack() {
    let lock: Lock = read_toml("Cargo.lock");
    for name in [
        "hyper",
        "h2",
        "rustls",
        "hyper-rustls",
        "tokio-rustls",
        "ring",
    ] {
        let found = lock.package.iter().filter(|it| it.name == name);
        let versions: Vec<_> = found.map(|it| it.version.as_str()).collect();
        assert_eq!(versions.len(), 1, "{name}: {versions:?}");
    }
}

#[test]
fn every_licence_is_allowed() {
    let allowed = read_toml::<Deny>("deny.toml").licenses.allow;
    let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
    // Offline, so only for this host: packages of other platforms may never have been fetched.
    let metadata = metadata(&["--offline", "--filter-platform", &host()]);
    let mut faults = Vec::new();
    for package in &metadata.packages {
        let licence = package.license.as_deref().unwrap_or("(none)");
        if !permits(&allowed, licence) {
            faults.push(format!("{}: {licence}", package.name));
        }
    }
    assert!(faults.is_empty(), "not allowed:\n{}", faults.join("\n"));
}

#[test]
fn a_licence_expression_is_read_as_spdx_means_it() {
    let allowed = ["MIT", "Apache-2.0", "Zlib"];
    for (expression, expect) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("GPL-2.0-only OR MIT", true),
        ("MIT/GPL-3.0-only", true),
        ("MIT AND GPL-3.0-only", false),
        ("(GPL-3.0-only OR MIT) AND Zlib", true),
        ("MIT OR Apache-2.0 AND GPL-3.0-only", true),
        ("GPL-3.0-only OR Apache-2.0 AND GPL-3.0-only", false),
        ("Apache-2.0 WITH LLVM-exception", false),
        ("Apache-2.0 WITH LLVM-exception OR MIT", true),
        ("", false),
        ("MIT MIT", false),
    ] {
        assert_eq!(permits(&allowed, expression), expect, "`{expression}`");
    }
}

#[test]
fn a_ban_covers_the_versions_it_names() {
    for (ban, version, expect) in [
        ("hyper", "1.2.0", true),
        ("hyper@0.14", "0.14.32", true),
        ("hyper@0.14", "0.140.0", false),
        ("hyper@1", "1.12.0", true),
        ("hyper@1", "0.14.32", false),
        ("hyper-util", "0.1.0", false),
    ] {
        let ban = Ban {
            krate: ban.to_owned(),
            reason: String::new(),
        };
        let package = Locked {
            name: "hyper".to_owned(),
            version: version.to_owned(),
            source: None,
        };
        assert_eq!(ban.matches(&package), expect, "{} {version}", ban.krate);
    }
}

/// The package that a table row `` | `name` | what for | why this one | `` describes.
fn described(line: &str) -> Option<&str> {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let ["", name, what_for, why, ""] = cells[..] else {
        return None;
    };
    let name = name.strip_prefix('`')?.strip_suffix('`')?;
    assert!(
        !what_for.is_empty() && !why.is_empty(),
        "the row of `{name}` has an empty cell"
    );
    Some(name)
}

/// Whether an SPDX expression can be met with the allowed licences. `OR` (old spelling `/`) binds
/// loosest, then `AND`; an exception makes another licence of the one before it.
fn permits(allowed: &[&str], expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ");
    let spaced = spaced.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = any_of(allowed, &words, &mut at);
    met && at == words.len()
}

fn any_of(allowed: &[&str], words: &[&str], at: &mut usize) -> bool {
    let mut met = all_of(allowed, words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all_of(allowed, words, at);
    }
    met
}

fn all_of(allowed: &[&str], words: &[&str], at: &mut usize) -> bool {
    let mut met = one(allowed, words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(allowed, words, at);
    }
    met
}

fn one(allowed: &[&str], words: &[&str], at: &mut usize) -> bool {
    let Some(word) = words.get(*at) else {
        return false;
    };
    *at += 1;
    if *word == "(" {
        let met = any_of(allowed, words, at);
        let closed = words.get(*at) == Some(&")");
        *at += 1;
        return met && closed;
    }
    if words.get(*at) == Some(&"WITH") {
        let exception = words.get(*at + 1).copied().unwrap_or_default();
        *at += 2;
        return allowed.contains(&format!("{word} WITH {exception}").as_str());
    }
    allowed.contains(word)
}

#[derive(Deserialize)]
struct Deny {
    bans: Bans,
    licenses: Licenses,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

/// `name`, or `name@version` where the version is a prefix that ends at a dot.
#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    krate: String,
    reason: String,
}

impl Ban {
    fn matches(&self, package: &Locked) -> bool {
        let (name, version) = match self.krate.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (self.krate.as_str(), None),
        };
        let is_covered =
            version.is_none_or(|it| format!("{}.", package.version).starts_with(&format!("{it}.")));
        name == package.name && is_covered
    }
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    license: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
}

fn read_toml<T: serde::de::DeserializeOwned>(file: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(&path).expect("read the file");
    toml::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// What cargo knows about the packages, as it builds them here.
fn metadata(options: &[&str]) -> Metadata {
    let fixed = ["metadata", "--locked", "--format-version", "1"];
    serde_json::from_str(&cargo(&[&fixed, options].concat())).expect("cargo metadata is JSON")
}

fn host() -> String {
    let version = cargo(&["-vV"]);
    let host = version.lines().find_map(|it| it.strip_prefix("host: "));
    host.expect("cargo -vV names its host").to_owned()
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("run cargo");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaint}");
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}
