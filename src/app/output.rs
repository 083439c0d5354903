//! What a command says, as frames: one renderer draws them on a terminal, another sends them to
//! the invocation that asked over HTTP, so both see the same.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// The end of a command that ran elsewhere.
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
        (self.sink)(Frame::Line { text: text.into() });
    }

    /// A remark for people; never part of the result.
    pub(crate) fn note(&self, text: impl Into<String>) {
        (self.sink)(Frame::Note { text: text.into() });
    }

    pub(crate) fn progress(&self, label: &str, done: u64, total: u64) {
        (self.sink)(Frame::Progress {
            label: label.to_owned(),
            done,
            total,
        });
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

/// Draws frames: a progress bar on a terminal, a plain line now and then elsewhere.
pub(crate) struct Terminal(Mutex<Drawn>);

struct Drawn {
    bar: Option<(String, ProgressBar)>,
    is_terminal: bool,
    last_plain: Option<Instant>,
}

const PLAIN_EVERY: Duration = Duration::from_secs(5);

impl Terminal {
    #[must_use]
    pub(crate) fn new() -> Terminal {
        let is_terminal = std::io::stderr().is_terminal();
        Terminal(Mutex::new(Drawn {
            bar: None,
            is_terminal,
            last_plain: None,
        }))
    }

    pub(crate) fn draw(&self, frame: &Frame) {
        let mut drawn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match frame {
            Frame::Line { text } => drawn.above_bar(|| write_line(std::io::stdout(), text)),
            Frame::Note { text } => drawn.above_bar(|| write_line(std::io::stderr(), text)),
            Frame::Progress { label, done, total } => drawn.progress(label, *done, *total),
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
        if self
            .bar
            .as_ref()
            .is_none_or(|(current, _)| current != label)
        {
            self.finish();
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            bar.set_style(style(total > 0));
            bar.set_message(label.to_owned());
            self.bar = Some((label.to_owned(), bar));
        }
        if let Some((_, bar)) = &self.bar {
            if total > 0 {
                bar.set_length(total);
            }
            bar.set_position(done);
        }
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

/// A closed pipe (`| head`) is the reader's choice, not a fault.
fn write_line(mut to: impl Write, text: &str) {
    drop(writeln!(to, "{text}"));
}
