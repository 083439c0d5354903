//! Other processes for tests that kill one: this test binary again, running only
//! [`the_other_process`] with a part to play.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

const PART: &str = "FRAUDPLAT_TEST_PART";
const ARGUMENT: &str = "FRAUDPLAT_TEST_ARGUMENT";
/// Marks what a helper says amid the test harness's own words.
const MARK: &str = "helper says: ";

/// Plays a part when this binary was started as a helper; in an ordinary run there is none.
#[test]
fn the_other_process() {
    let Some(part) = std::env::var_os(PART) else {
        return;
    };
    let argument = std::env::var_os(ARGUMENT).unwrap();
    let argument = Path::new(&argument);
    match part.to_str() {
        Some("own") => crate::data_dir::helper(argument),
        Some("serve") => crate::private_postgres::serve(argument),
        _ => panic!("no part {part:?}"),
    }
}

/// A process of this binary, in a process group of its own; killed when dropped.
pub(crate) struct Helper {
    child: Child,
    said: mpsc::Receiver<String>,
}

impl Helper {
    pub(crate) fn start(part: &str, argument: &Path) -> Helper {
        use std::os::unix::process::CommandExt;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "helper::the_other_process", "--nocapture"])
            .env(PART, part)
            .env(ARGUMENT, argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((_, words)) = line.split_once(MARK) {
                    tell.send(words.to_owned()).ok();
                }
            }
        });
        Helper { child, said }
    }

    /// The next thing it says.
    pub(crate) fn says(&self) -> String {
        let said = self.said.recv_timeout(Duration::from_secs(240));
        said.expect("the helper speaks")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9` of its whole process group.
    pub(crate) fn kill(mut self) {
        let pid = Pid::from_raw(self.child.id() as i32).unwrap();
        kill_process_group(pid, Signal::KILL).unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn reap(mut self) {
        self.child.wait().unwrap();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(crate) fn say(words: &str) {
    use std::io::Write;
    // Not `println!`: the harness would keep it for itself.
    let line = format!("\n{MARK}{words}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

/// Returns if the test that started us ends before it kills us.
pub(crate) fn wait_to_be_killed() {
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}
