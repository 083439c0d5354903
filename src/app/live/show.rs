//! The command's side of the picture: says which stage begins and ends, and takes what the stages
//! report as their progress.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::app::commands::Call;
use crate::app::live::watch::Watch;
use crate::app::live::{Live, Stage, State};
use crate::app::output::{Frame, Output};
use crate::domain::ids::PlatformRunId;

/// A picture that is being shown. Clones show the same one.
#[derive(Clone)]
pub(crate) struct Show {
    canvas: Arc<Mutex<Canvas>>,
    output: Output,
}

pub(crate) struct Canvas {
    live: Live,
    begun: Instant,
    /// When each stage began.
    stages: Vec<Option<Instant>>,
}

impl Show {
    /// Shows the names of the stages, all waiting.
    #[must_use]
    pub(crate) fn new(output: &Output, title: &str, stages: &[&str]) -> Show {
        let waiting = |name: &&str| Stage {
            name: (*name).to_owned(),
            ..Stage::default()
        };
        let live = Live {
            title: title.to_owned(),
            stages: stages.iter().map(waiting).collect(),
            ..Live::default()
        };
        let canvas = Canvas {
            stages: vec![None; live.stages.len()],
            live,
            begun: Instant::now(),
        };
        Show {
            canvas: Arc::new(Mutex::new(canvas)),
            output: output.clone(),
        }
    }

    /// The same call, its progress shown in the stage that is under way.
    #[must_use]
    pub(crate) fn call(&self, call: &Call) -> Call {
        let (show, output) = (self.clone(), self.output.clone());
        let sink = move |frame| match frame {
            Frame::Progress { label, done, total } => show.progress(label, done, total),
            frame => output.frame(frame),
        };
        Call {
            output: Output::new(self.output.json, sink),
            ..call.clone()
        }
    }

    pub(crate) fn begin(&self, stage: &str) {
        self.change(|canvas| {
            let at = canvas.at(stage);
            canvas.stages[at] = Some(Instant::now());
            canvas.live.stages[at].state = State::Doing;
        });
    }

    /// The stage is done; `detail` says what came of it.
    pub(crate) fn end(&self, stage: &str, detail: impl Into<String>) {
        self.change(|canvas| {
            let at = canvas.at(stage);
            let took = canvas.stages[at].map(|begun| begun.elapsed());
            let stage = &mut canvas.live.stages[at];
            stage.took_ms = took.map_or(0, millis);
            stage.state = State::Done;
            stage.detail = detail.into();
        });
    }

    /// Changes the picture and shows it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Canvas)) {
        let mut canvas = self.canvas.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut canvas);
        canvas.live.elapsed_ms = millis(canvas.begun.elapsed());
        let live = canvas.live.clone();
        drop(canvas);
        self.output.frame(Frame::Live {
            live: Box::new(live),
        });
    }

    /// Follows the decisions of a run of so many payments until the watch ends or is dropped.
    #[must_use]
    pub(crate) fn watch(&self, call: &Call, run: &PlatformRunId, payments: u64) -> Watch {
        Watch::begin(self.clone(), call.ground.clone(), *run, payments)
    }

    /// Progress is of the first stage that is under way and has none of its own.
    fn progress(&self, label: String, done: u64, total: u64) {
        self.change(|canvas| {
            let mut doing = canvas.live.stages.iter_mut();
            if let Some(stage) = doing.find(|it| it.state == State::Doing) {
                (stage.detail, stage.done, stage.total) = (label, done, total);
            }
        });
    }
}

impl Canvas {
    /// The place of a stage by its name.
    fn at(&self, stage: &str) -> usize {
        let found = self.live.stages.iter().position(|it| it.name == stage);
        found.expect("a stage is begun and ended by a name that was given")
    }

    pub(crate) fn live_mut(&mut self) -> &mut Live {
        &mut self.live
    }

    pub(super) fn stage(&mut self, stage: &str) -> &mut Stage {
        let at = self.at(stage);
        &mut self.live.stages[at]
    }
}

fn millis(of: std::time::Duration) -> u64 {
    u64::try_from(of.as_millis()).unwrap_or(u64::MAX)
}
