//! The demo on a terminal: what a person sees, and that nothing of it is left behind.

use std::fs::File;
use std::io::Read as _;
use std::num::NonZero;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};

use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

use crate::demo::TINY;
use crate::home::{DONE, FAILED, Home, LONG};

/// A terminal of some size, and what it shows.
struct Terminal {
    /// Held open: the last writer's end would end the reading.
    line: std::os::fd::OwnedFd,
    bytes: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    /// Everything that was ever written to it.
    written: Vec<u8>,
}

fn size(cells: u16) -> NonZero<u16> {
    NonZero::new(cells).unwrap()
}

impl Terminal {
    fn new(columns: u16, rows: u16) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let line = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let window = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&line, window).unwrap();
        let (sender, bytes) = channel();
        let mut master = File::from(master);
        std::thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok(read) = master.read(&mut buffer) {
                if read == 0 || sender.send(buffer[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Terminal {
            line,
            bytes,
            screen: vt100::Parser::new(size(rows), size(columns), 0),
            written: Vec::new(),
        }
    }

    fn stdio(&self) -> Stdio {
        self.line.try_clone().unwrap().into()
    }

    /// Everything that happens to a line of the terminal by raw modes and the like.
    fn modes(&self) -> String {
        let modes = tcgetattr(&self.line).unwrap();
        format!(
            "{:?} {:?} {:?}",
            modes.input_modes, modes.output_modes, modes.local_modes
        )
    }

    /// Takes in what is written until the screen showed what is looked for. A picture comes in
    /// pieces, and one read may hold the end of one and the beginning of the next.
    fn until(&mut self, what: &str, shows: impl Fn(&str) -> bool) {
        let mut is_shown = shows(&self.contents());
        while !is_shown {
            let read = self.bytes.recv_timeout(LONG);
            let Ok(read) = read else {
                panic!("waited for {what}; the screen:\n{}", self.contents());
            };
            for piece in read.chunks(64) {
                self.take(piece);
                is_shown = is_shown || shows(&self.contents());
            }
        }
    }

    /// Takes in what was written until now, by a writer that has ended: what is written here comes behind it.
    fn rest(&mut self) {
        const END: &[u8] = b"<the writer has ended>";
        let n = rustix::io::write(&self.line, END).unwrap();
        assert_eq!(n, END.len());
        let mut rest = Vec::new();
        while !rest.ends_with(END) {
            rest.extend(self.bytes.recv_timeout(LONG).unwrap());
        }
        rest.truncate(rest.len() - END.len());
        self.take(&rest);
    }

    fn take(&mut self, read: &[u8]) {
        self.screen.process(read);
        self.written.extend(read);
    }

    /// Row by row: a row that is written to its end is no reason to join the next.
    fn contents(&self) -> String {
        let screen = self.screen.screen();
        let rows = screen.rows(0, screen.size().1.get());
        rows.map(|row| row.trim_end().to_owned() + "\n").collect()
    }
}

#[test]
fn the_demo_is_drawn_while_it_runs_and_taken_down_at_the_end() {
    let home = Home::new();
    let scenario = home.file("tiny.yaml", TINY);
    let mut terminal = Terminal::new(100, 30);
    let modes = terminal.modes();
    let args = ["demo", "--scenario", scenario.to_str().unwrap()];
    let env = [("TERM", "xterm-256color")];
    let demo = home.start_on(&args, &env, terminal.stdio());
    terminal.until("the stages", |screen| {
        let stages = ["world", "stream", "decide", "balance", "replay", "report"];
        stages.iter().all(|it| screen.contains(it))
    });
    terminal.until("the outcomes", |screen| {
        screen.contains("✓ world") && screen.contains("outcomes") && screen.contains("approve")
    });
    terminal.until("the checks", |screen| {
        screen.contains("✓ balance") && screen.contains("checks equal")
    });
    let ended = demo.wait().expect(DONE);
    terminal.rest();
    assert!(ended.stdout.contains("look further:"), "{}", ended.stdout);
    assert_eq!(terminal.contents().trim(), "", "the picture is left behind");
    let screen = terminal.screen.screen();
    assert!(!screen.hide_cursor() && !screen.alternate_screen());
    assert_eq!(terminal.modes(), modes);
    assert!(
        String::from_utf8_lossy(&terminal.written).contains("\x1b[32m"),
        "no colour"
    );
}

/// So many payments that a demo of them is not through before it is told to end.
const LONG_DEMO: &str = "\
scenario: long
seed: 7
start: 2025-03-01T00:00:00Z
days: 120
population: {customers: 2000, merchants: 60}
payments: {per_customer_day: 1.0}
campaigns:
  - {type: stolen_card, per_day: 0.5}
";

#[test]
fn a_narrow_terminal_without_colour_is_left_clean_by_ctrl_c() {
    let home = Home::new();
    let mut terminal = Terminal::new(60, 12);
    let modes = terminal.modes();
    let env = [("TERM", "xterm-256color"), ("NO_COLOR", "1")];
    let scenario = home.file("long.yaml", LONG_DEMO);
    let args = ["demo", "--scenario", scenario.to_str().unwrap()];
    let demo = home.start_on(&args, &env, terminal.stdio());
    // Every line of the picture is on a line of its own: nothing was wrapped. While one picture takes the
    // place of another the screen has parts of both.
    let stages = ["world", "stream", "decide", "balance", "replay", "report"];
    terminal.until("decisions, and each stage on its line", |screen| {
        let is_once = |stage: &&str| {
            let begins = |line: &&str| line.chars().skip(2).collect::<String>().starts_with(*stage);
            screen.lines().filter(begins).count() == 1
        };
        screen.contains("outcomes") && stages.iter().all(is_once)
    });
    demo.signal(Signal::INT);
    demo.wait().expect(FAILED);
    terminal.rest();
    let shown = terminal.contents();
    assert!(
        shown.contains("draining; once more to end at once"),
        "{shown}"
    );
    assert!(shown.contains("error: "), "{shown}");
    assert!(
        !shown.contains('━') && !shown.contains("outcomes"),
        "{shown}"
    );
    assert!(!terminal.screen.screen().hide_cursor());
    assert_eq!(terminal.modes(), modes);
    let written = String::from_utf8_lossy(&terminal.written);
    for colour in ["\x1b[1m", "\x1b[2m", "\x1b[3", "\x1b[9"] {
        assert!(!written.contains(colour), "{colour:?} in spite of NO_COLOR");
    }
}
