//! What a command says, as frames: one renderer draws them on a terminal, another sends them to
//! the invocation that asked over HTTP, so both see the same.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::app::live::{self, Face, Live, State};

/// One thing said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "frame", rename_all = "snake_case")]
pub(crate) enum Frame {
    /// A line of the result: stdout.
    Line { text: String },
    /// A remark on the way: stderr.
    Note { text: String },
    /// Work done of work known; `total` 0 where it is not known.
    Progress {
        label: String,
        done: u64,
        total: u64,
    },
    /// The whole of what is being done; it replaces the one before.
    Live { live: Box<Live> },
    /// The end of a command.
    Exit { code: u8 },
}

type Sink = Arc<dyn Fn(Frame) + Send + Sync>;

/// Where a command speaks to.
#[derive(Clone)]
pub(crate) struct Output {
    sink: Sink,
    /// Results as JSON on stdout.
    pub(crate) json: bool,
}

impl Output {
    #[must_use]
    pub(crate) fn new(json: bool, sink: impl Fn(Frame) + Send + Sync + 'static) -> Output {
        Output {
            sink: Arc::new(sink),
            json,
        }
    }

    /// A line of the result.
    pub(crate) fn line(&self, text: impl Into<String>) {
        self.frame(Frame::Line { text: text.into() });
    }

    /// A remark for people; never part of the result.
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.frame(Frame::Note { text: text.into() });
    }

    pub(crate) fn progress(&self, label: &str, done: u64, total: u64) {
        self.frame(Frame::Progress {
            label: label.to_owned(),
            done,
            total,
        });
    }

    /// Passes on what another output was told.
    pub(crate) fn frame(&self, frame: Frame) {
        (self.sink)(frame);
    }

    /// The result: `value` as JSON where machines asked, else what `human` makes of it.
    pub(crate) fn result<T: Serialize>(&self, value: &T, human: impl FnOnce(&T) -> String) {
        if self.json {
            self.line(
                serde_json::to_string_pretty(value).unwrap_or_else(|cause| cause.to_string()),
            );
        } else {
            self.line(human(value));
        }
    }
}

/// Draws frames: a bar or a whole picture on a terminal, a plain line now and then elsewhere.
/// Nothing of the terminal is changed but its last lines, so there is nothing to restore.
pub(crate) struct Terminal(Mutex<Drawn>);

struct Drawn {
    bar: Option<(String, ProgressBar)>,
    is_terminal: bool,
    last_plain: Option<Instant>,
    last_live: Option<Box<Live>>,
}

const PLAIN_EVERY: Duration = Duration::from_secs(5);
/// The label of the bar that holds a picture.
const PICTURE: &str = "";

impl Terminal {
    #[must_use]
    pub(crate) fn new() -> Terminal {
        Terminal(Mutex::new(Drawn {
            bar: None,
            // A dumb one cannot go up a line.
            is_terminal: std::io::stderr().is_terminal() && !console::is_dumb(),
            last_plain: None,
            last_live: None,
        }))
    }

    pub(crate) fn draw(&self, frame: &Frame) {
        let mut drawn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match frame {
            Frame::Line { text } => drawn.above_bar(|| write_line(std::io::stdout(), text)),
            Frame::Note { text } => drawn.above_bar(|| write_line(std::io::stderr(), text)),
            Frame::Progress { label, done, total } => drawn.progress(label, *done, *total),
            Frame::Live { live } => drawn.live(live),
            Frame::Exit { .. } => drawn.finish(),
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .finish();
    }
}

impl Default for Terminal {
    fn default() -> Terminal {
        Terminal::new()
    }
}

impl Drawn {
    fn above_bar(&self, write: impl FnOnce()) {
        match &self.bar {
            Some((_, bar)) => bar.suspend(write),
            None => write(),
        }
    }

    fn progress(&mut self, label: &str, done: u64, total: u64) {
        if !self.is_terminal {
            return self.plain(label, done, total);
        }
        let bar = self.bar(label, || style(total > 0));
        if total > 0 {
            bar.set_length(total);
        }
        bar.set_position(done);
    }

    /// The bar of this label, in place of one of another.
    fn bar(&mut self, label: &str, style: impl FnOnce() -> ProgressStyle) -> ProgressBar {
        if let Some((current, bar)) = &self.bar
            && current == label
        {
            return bar.clone();
        }
        self.finish();
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        bar.set_style(style());
        bar.set_message(label.to_owned());
        self.bar = Some((label.to_owned(), bar.clone()));
        bar
    }

    fn live(&mut self, live: &Live) {
        if !self.is_terminal {
            return self.live_plain(live);
        }
        let (height, width) = console::Term::stderr().size();
        let face = Face {
            width: width.into(),
            height: height.into(),
            has_colour: console::colors_enabled_stderr(),
        };
        let n_done = |it: &Live| {
            it.stages
                .iter()
                .filter(|it| it.state == State::Done)
                .count()
        };
        let before = self.last_live.as_deref().map_or(0, n_done);
        let bar = self.bar(PICTURE, picture);
        bar.set_message(live::view(live, face).join("\n"));
        // Pictures that come too fast are left out, but for one that shows the end of a stage.
        match before < n_done(live) {
            true => bar.force_draw(),
            false => bar.tick(),
        }
        self.last_live = Some(Box::new(live.clone()));
    }

    fn live_plain(&mut self, live: &Live) {
        let last = *self.last_plain.get_or_insert_with(Instant::now);
        let is_due = last.elapsed() >= PLAIN_EVERY;
        let lines = live::plain(self.last_live.as_deref(), live, is_due);
        if is_due {
            self.last_plain = Some(Instant::now());
        }
        for line in lines {
            write_line(std::io::stderr(), &line);
        }
        self.last_live = Some(Box::new(live.clone()));
    }

    fn plain(&mut self, label: &str, done: u64, total: u64) {
        let due = self
            .last_plain
            .is_none_or(|last| last.elapsed() >= PLAIN_EVERY);
        if due || (total > 0 && done == total) {
            self.last_plain = Some(Instant::now());
            let of_total = match total {
                0 => String::new(),
                total => format!(" of {total}"),
            };
            write_line(std::io::stderr(), &format!("{label}: {done}{of_total}"));
        }
    }

    fn finish(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn style(has_total: bool) -> ProgressStyle {
    let template = if has_total {
        "{msg:<22} {bar:36.cyan/blue} {human_pos:>10}/{human_len} {per_sec:>12} {eta:>5}"
    } else {
        "{msg:<22} {spinner} {human_pos:>10} {per_sec:>12}"
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn picture() -> ProgressStyle {
    ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A closed pipe (`| head`) is the reader's choice, not a fault.
fn write_line(mut to: impl Write, text: &str) {
    drop(writeln!(to, "{text}"));
}
