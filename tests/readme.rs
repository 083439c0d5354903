//! The commands of the README work: each `sh` block with `<!-- ci -->` directly above it is run with
//! the executable under test first on PATH. `<!-- ci exit=3 -->` expects that exit code instead of 0.
//! A block with `<!-- ci live -->` is typed into a second shell beside a running platform: all of them
//! into one shell, so that what one sets the next may use.
//!
//! The blocks run in order in one temporary home, as a reader would type them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than any command a README should show; `timeout` ends the block then, with exit code 124.
const BLOCK_SECONDS_MAX: &str = "300";

#[derive(Debug, PartialEq)]
struct Block {
    /// Of the opening fence, from 1.
    line: usize,
    exit: i32,
    is_live: bool,
    script: String,
}

#[test]
fn the_commands_of_the_readme_work() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).expect("read the README");
    let blocks = blocks(&readme).expect("the README's marks are well-formed");
    assert!(!blocks.is_empty(), "the README marks no block for CI");
    // Passable for others: as root, Postgres runs as another user below it.
    let passable = fs::Permissions::from_mode(0o755);
    let mut home = tempfile::Builder::new();
    let home = home.permissions(passable).tempdir().expect("make a home");
    for block in blocks.iter().filter(|it| !it.is_live) {
        run(block, home.path());
    }
}

/// Where the README says that the platform listens.
const ADDR: &str = "127.0.0.1:7070";

#[test]
#[expect(clippy::print_stderr, reason = "says that it skips")]
fn the_commands_for_a_second_shell_work() {
    if Command::new("curl").arg("--version").output().is_err() {
        return eprintln!("skipped: there is no curl");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).expect("read the README");
    let blocks = blocks(&readme).expect("the README's marks are well-formed");
    let live: Vec<Block> = blocks.into_iter().filter(|it| it.is_live).collect();
    let passable = fs::Permissions::from_mode(0o755);
    let mut home = tempfile::Builder::new();
    let home = home.permissions(passable).tempdir().expect("make a home");
    let mut platform = serve(home.path());
    let addr = listening(home.path(), &mut platform);
    let typed: String = live.iter().map(|it| it.script.as_str()).collect();
    let block = Block {
        line: live.first().expect("the README marks live blocks").line,
        exit: 0,
        is_live: true,
        script: format!("cd \"$HOME\"\n{}", typed.replace(ADDR, &addr)),
    };
    let said = run(&block, home.path());
    let pid = Pid::from_child(&platform);
    kill_process(pid, Signal::TERM).expect("stop the platform");
    assert!(platform.wait().expect("it ends").success());
    // A payment is four events; then one more comes without its context.
    assert_eq!(
        said.matches(r#""result":"ADMITTED""#).count(),
        5 + 5,
        "{said}"
    );
    // At night another rule fires, too.
    assert!(said.contains(r#""fired":["R001""#), "{said}");
}

fn serve(home: &Path) -> Child {
    command(home, &["fraudplat", "--role", "all"])
        .env("FRAUDPLAT__HTTP__BIND", "127.0.0.1:0")
        .spawn()
        .expect("start the platform")
}

fn listening(home: &Path, platform: &mut Child) -> String {
    let deadline = Instant::now() + Duration::from_secs(240);
    loop {
        let addr = fs::read_to_string(home.join("data/fraudplat/run/http.addr"));
        if let Some(addr) = addr.ok().filter(|it| !it.trim().is_empty()) {
            return addr.trim().to_owned();
        }
        assert!(
            platform.try_wait().expect("ask for it").is_none(),
            "it ended"
        );
        assert!(Instant::now() < deadline, "it does not listen");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn only_marked_blocks_are_taken() {
    let page = "\
text
```sh
unmarked
```
<!-- ci -->
```sh
one
  two
```
<!-- ci exit=3 -->
```sh
refused
```
<!-- ci live -->
```sh
beside
```
<!-- a remark -->
```sh
unmarked too
```
";
    let expect = [
        (6, 0, false, "one\n  two\n"),
        (11, 3, false, "refused\n"),
        (15, 0, true, "beside\n"),
    ];
    let expect = expect.map(|(line, exit, is_live, script)| Block {
        line,
        exit,
        is_live,
        script: script.to_owned(),
    });
    assert_eq!(blocks(page).expect("well-formed"), expect);
}

#[test]
fn a_mark_that_marks_nothing_is_refused() {
    for (page, expect) in [
        ("<!-- ci -->\n\n```sh\nx\n```\n", "line 1: no ```sh block"),
        ("<!-- ci -->\n```rust\nx\n```\n", "line 1: no ```sh block"),
        ("<!-- ci -->", "line 1: no ```sh block"),
        ("<!-- ci exit=x -->\n```sh\nx\n```\n", "line 1: `exit=x`"),
        ("<!-- ci code=1 -->\n```sh\nx\n```\n", "line 1: `code=1`"),
        ("\n<!-- ci -->\n```sh\nx\n", "line 3: the block has no end"),
    ] {
        let error = blocks(page).expect_err(page);
        assert!(error.starts_with(expect), "{page:?} gave {error:?}");
    }
}

/// A command as a reader types it, in a home of its own.
fn command(home: &Path, words: &[&str]) -> Command {
    let executable = Path::new(env!("CARGO_BIN_EXE_fraudplat"));
    let mut path = executable
        .parent()
        .expect("it has a parent")
        .to_owned()
        .into_os_string();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    let mut command = Command::new("env");
    // The cache directory stays the user's: Postgres may have been unpacked there.
    command
        .args(words)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("PATH", path)
        .env("HOME", home)
        .env("XDG_CACHE_HOME", cache_home())
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env("XDG_DATA_HOME", home.join("data"))
        .env("XDG_STATE_HOME", home.join("state"));
    command
}

/// Runs a block and returns what it printed on stdout.
fn run(block: &Block, home: &Path) -> String {
    let words = [
        "timeout",
        BLOCK_SECONDS_MAX,
        "sh",
        "-e",
        "-c",
        &block.script,
    ];
    let output = command(home, &words).output().expect("run timeout and sh");
    assert_eq!(
        output.status.code(),
        Some(block.exit),
        "README.md line {}:\n{}\nprinted\n{}{}",
        block.line,
        block.script,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn cache_home() -> PathBuf {
    let home = || Path::new(&std::env::var_os("HOME").expect("HOME is set")).join(".cache");
    std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from)
}

/// The marked blocks of a Markdown page, or what is wrong with a mark.
fn blocks(page: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut lines = (1..).zip(page.lines());
    while let Some((at, line)) = lines.next() {
        let Some((exit, is_live)) = mark(line).map_err(|error| format!("line {at}: {error}"))?
        else {
            continue;
        };
        let Some((fence_at, "```sh")) = lines.next() else {
            return Err(format!("line {at}: no ```sh block directly below the mark"));
        };
        let mut script = String::new();
        loop {
            let Some((_, line)) = lines.next() else {
                return Err(format!("line {fence_at}: the block has no end"));
            };
            if line == "```" {
                break;
            }
            script.push_str(line);
            script.push('\n');
        }
        blocks.push(Block {
            line: fence_at,
            exit,
            is_live,
            script,
        });
    }
    Ok(blocks)
}

/// The exit code that a line `<!-- ci … -->` expects, and whether its block is for a second shell;
/// `None` if the line is no mark.
fn mark(line: &str) -> Result<Option<(i32, bool)>, String> {
    let comment = line.trim().strip_prefix("<!--");
    let Some(comment) = comment.and_then(|it| it.strip_suffix("-->")) else {
        return Ok(None);
    };
    let mut words = comment.split_whitespace();
    if words.next() != Some("ci") {
        return Ok(None);
    }
    let (mut exit, mut is_live) = (0, false);
    for word in words {
        if word == "live" {
            is_live = true;
            continue;
        }
        let code = word.strip_prefix("exit=").and_then(|it| it.parse().ok());
        exit = code.ok_or_else(|| format!("`{word}` is not understood; say `exit=N` or `live`"))?;
    }
    Ok(Some((exit, is_live)))
}
