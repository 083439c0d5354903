//! Draws a picture as lines of text: for a terminal as wide and high as it is, or as plain lines
//! for a log. Pure: the size and whether there is colour are told.

use console::{Style, measure_text_width, truncate_str};

use crate::app::commands::table::grouped;
use crate::app::live::{Live, Stage, State, Stopped};
use crate::domain::vocabulary::Outcome;

/// What is drawn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Face {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) has_colour: bool,
}

const NAME_WIDTH: usize = 9;
const SPARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const SPINNER: [&str; 8] = ["⣾", "⣽", "⣻", "⢿", "⡿", "⣟", "⣯", "⣷"];
/// Wider is not easier to read.
const WIDTH_MAX: usize = 120;

/// The lines of a picture, none wider than the face, and fewer than it is high.
#[must_use]
pub(crate) fn view(live: &Live, face: Face) -> Vec<String> {
    let pen = Pen {
        width: face.width.clamp(20, WIDTH_MAX) - 1,
        has_colour: face.has_colour,
    };
    let room = face.height.max(8) - 1;
    let head = pen.head(live);
    let stages: Vec<String> = live.stages.iter().map(|it| pen.stage(it, live)).collect();
    let gauges = pen.gauges(live);
    let mut lines = head;
    let n_fixed = lines.len() + stages.len() + gauges.len();
    // Air where there is room for it, after a few of the payments that were stopped.
    let has_air = n_fixed + 8 <= room;
    let air = |lines: &mut Vec<String>| {
        if has_air {
            lines.push(String::new());
        }
    };
    air(&mut lines);
    lines.extend(stages);
    air(&mut lines);
    lines.extend(gauges);
    let left = room.saturating_sub(lines.len() + usize::from(has_air));
    let stopped = pen.stopped(&live.stopped, left);
    if !stopped.is_empty() {
        air(&mut lines);
        lines.extend(stopped);
    }
    lines.truncate(room);
    let fitted = lines.iter().map(|line| truncate_str(line, pen.width, "…"));
    fitted.map(|line| line.trim_end().to_owned()).collect()
}

/// What to write into a log when `live` follows `before`: the stages that ended since; and, where
/// it is due, how the one under way is doing.
#[must_use]
pub(crate) fn plain(before: Option<&Live>, live: &Live, is_due: bool) -> Vec<String> {
    let was_done = |name: &str| {
        let mut stages = before.into_iter().flat_map(|it| &it.stages);
        stages.any(|it| it.name == name && it.state == State::Done)
    };
    let n_stages = live.stages.len();
    let ended = live
        .stages
        .iter()
        .enumerate()
        .filter(|(_, it)| it.state == State::Done);
    let ended = ended.filter(|(_, it)| !was_done(&it.name));
    let mut lines: Vec<String> = ended
        .map(|(at, it)| {
            let took = seconds(it.took_ms);
            format!("{}/{n_stages} {}: {} ({took})", at + 1, it.name, it.detail)
        })
        .collect();
    let doing = live.stages.iter().rfind(|it| it.state == State::Doing);
    if let Some(stage) = doing.filter(|_| is_due) {
        let mut line = format!("{}: {}", stage.name, amount(stage));
        if live.rate > 0 && live.decided() > 0 && live.eta_ms.is_some() {
            let stopped = live.decided() - live.outcomes[0];
            let eta = live
                .eta_ms
                .map_or_else(String::new, |it| format!(", {} left", seconds(it)));
            line.push_str(&format!(
                "; {} decided, {} not approved, {}/s{eta}",
                number(live.decided()),
                number(stopped),
                number(live.rate)
            ));
        }
        lines.push(line);
    }
    lines
}

#[derive(Clone, Copy)]
struct Pen {
    width: usize,
    has_colour: bool,
}

impl Pen {
    fn ink(self, style: Style, text: impl AsRef<str>) -> String {
        if text.as_ref().is_empty() {
            return String::new();
        }
        style
            .force_styling(self.has_colour)
            .apply_to(text.as_ref())
            .to_string()
    }

    fn dim(self, text: impl AsRef<str>) -> String {
        self.ink(Style::new().dim(), text)
    }

    fn bold(self, text: impl AsRef<str>) -> String {
        self.ink(Style::new().bold(), text)
    }

    /// Left and right on one line; where both do not fit, the right one goes.
    fn spread(self, left: &str, right: &str) -> String {
        let used = measure_text_width(left) + measure_text_width(right);
        if right.is_empty() || used + 2 > self.width {
            return left.to_owned();
        }
        format!("{left}{}{right}", " ".repeat(self.width - used))
    }

    fn head(self, live: &Live) -> Vec<String> {
        let name = self.ink(Style::new().bold().cyan(), "fraudplat");
        let left = format!("{name}  {}", self.bold(&live.title));
        let mut lines = vec![self.spread(&left, &self.dim(seconds(live.elapsed_ms)))];
        if !live.run.is_empty() {
            lines.push(self.dim(&live.run));
        }
        lines
    }

    fn stage(self, stage: &Stage, live: &Live) -> String {
        let name = format!("{:<NAME_WIDTH$}", stage.name);
        match stage.state {
            State::Waiting => self.dim(format!("· {}", stage.name)),
            State::Done => {
                let mark = self.ink(Style::new().green(), "✓");
                let left = format!("{mark} {name}{}", stage.detail);
                self.spread(&left, &self.dim(seconds(stage.took_ms)))
            }
            State::Doing => {
                let turn = (live.elapsed_ms / 125) as usize % SPINNER.len();
                let mark = self.ink(Style::new().cyan(), SPINNER[turn]);
                let left = format!("{mark} {}{}", self.bold(name), self.doing(stage));
                let is_decide = stage.name == super::watch::DECIDE;
                let eta = live.eta_ms.filter(|_| is_decide);
                let right = eta.map_or_else(String::new, |it| format!("{} left", seconds(it)));
                self.spread(&left, &self.dim(right))
            }
        }
    }

    fn doing(self, stage: &Stage) -> String {
        if stage.total == 0 {
            return amount(stage);
        }
        let cells = (self.width / 3).clamp(8, 40);
        let share = stage.done.min(stage.total) as f64 / stage.total as f64;
        let filled = (share * cells as f64).round() as usize;
        let bar = self.ink(Style::new().cyan(), "━".repeat(filled));
        let rest = self.dim("─".repeat(cells - filled));
        format!("{bar}{rest} {:>3.0} %  {}", share * 100.0, amount(stage))
    }

    fn gauges(self, live: &Live) -> Vec<String> {
        let label = |name: &str| self.dim(format!("{name:<12}"));
        let mut lines = Vec::new();
        if !live.rates.is_empty() {
            let top = live.rates.iter().copied().max().unwrap_or(0);
            let now = match live.eta_ms {
                Some(_) => format!("{}/s now, {} at best", number(live.rate), number(top)),
                None => format!("{} at best", number(top)),
            };
            let cells = self.width.saturating_sub(12 + 34).clamp(6, 60);
            let sparks = self.ink(Style::new().cyan(), sparkline(&live.rates, cells));
            lines.push(format!("{}{sparks}  {now}", label("decisions/s")));
        }
        if live.decided() > 0 {
            lines.push(format!("{}{}", label("outcomes"), self.outcomes(live)));
        }
        if let Some(waited) = live.waited {
            let waits = format!(
                "p50 {}   p99 {}   max {}",
                wait(waited.p50_us),
                wait(waited.p99_us),
                wait(waited.max_us)
            );
            let note = self.dim("   admission to decision, the newest; a backlog at full speed");
            lines.push(format!("{}{waits}{note}", label("latency")));
        }
        let verdict = |is_good: bool, text: String| match is_good {
            true => self.ink(Style::new().green(), text),
            false => self.ink(Style::new().red().bold(), text),
        };
        if let Some((equal, checks)) = live.balance {
            let text = match equal == checks {
                true => format!("balanced: {checks} of {checks} checks equal"),
                false => format!("NOT balanced: {} of {checks} checks differ", checks - equal),
            };
            lines.push(format!(
                "{}{}",
                label("books"),
                verdict(equal == checks, text)
            ));
        }
        if let Some((compared, differ)) = live.replay {
            let text = match differ {
                0 => format!(
                    "{} decisions recomputed, equal byte for byte",
                    number(compared)
                ),
                differ => format!(
                    "{} of {} decisions DIFFER",
                    number(differ),
                    number(compared)
                ),
            };
            lines.push(format!("{}{}", label("replay"), verdict(differ == 0, text)));
        }
        lines
    }

    fn outcomes(self, live: &Live) -> String {
        let all = live.decided().max(1);
        let one = |(outcome, count): (&Outcome, &u64)| {
            let name = outcome.as_str().to_lowercase().replace('_', " ");
            let percent = 100.0 * *count as f64 / all as f64;
            let text = format!("{name} {} ({percent:.1} %)", number(*count));
            self.ink(style(*outcome), text)
        };
        let counts: Vec<String> = Outcome::ALL.iter().zip(&live.outcomes).map(one).collect();
        let mut text = counts.join("   ");
        if measure_text_width(&text) + 12 > self.width {
            let short = |(outcome, count): (&Outcome, &u64)| {
                let name = outcome.as_str().to_lowercase().replace('_', " ");
                self.ink(style(*outcome), format!("{name} {}", number(*count)))
            };
            let counts: Vec<String> = Outcome::ALL.iter().zip(&live.outcomes).map(short).collect();
            text = counts.join("  ");
        }
        if live.degraded > 0 {
            text.push_str(&format!("   {} degraded", number(live.degraded)));
        }
        text
    }

    /// The newest payments that were stopped, under a heading; nothing where there is no room.
    fn stopped(self, stopped: &[Stopped], room: usize) -> Vec<String> {
        if stopped.is_empty() || room < 3 {
            return Vec::new();
        }
        let heading = self.dim("stopped last (event time, outcome, score, reasons)");
        let row = |it: &Stopped| {
            let ts = it.ts.get(5..).unwrap_or_default().replace('T', " ");
            let outcome = self.ink(style(it.outcome), format!("{:<8}", it.outcome.as_str()));
            let score = format!("{:>4}", it.score);
            let left = format!(
                "  {}  {outcome} {score}  {}",
                self.dim(ts),
                it.reasons.join(" ")
            );
            self.spread(&left, &self.dim(&it.event_id))
        };
        let rows = stopped.iter().take(room - 1).map(row);
        std::iter::once(heading).chain(rows).collect()
    }
}

fn style(outcome: Outcome) -> Style {
    match outcome {
        Outcome::Approve => Style::new().green(),
        Outcome::StepUp => Style::new().yellow(),
        Outcome::Review => Style::new().magenta(),
        Outcome::Decline => Style::new().red().bold(),
    }
}

/// The newest samples as blocks; where there are more samples than cells, each cell is a mean.
fn sparkline(samples: &[u64], cells: usize) -> String {
    let per_cell = samples.len().div_ceil(cells.max(1)).max(1);
    let means: Vec<u64> = samples
        .chunks(per_cell)
        .map(|chunk| chunk.iter().sum::<u64>() / chunk.len() as u64)
        .collect();
    let top = means.iter().copied().max().unwrap_or(0).max(1);
    let spark = |mean: &u64| {
        let level = (*mean as f64 / top as f64 * (SPARKS.len() - 1) as f64).round() as usize;
        SPARKS[level.min(SPARKS.len() - 1)]
    };
    means.iter().map(spark).collect()
}

fn amount(stage: &Stage) -> String {
    let count = match (stage.done, stage.total) {
        (0, 0) => String::new(),
        (done, 0) => number(done),
        (done, total) => format!("{} of {}", number(done), number(total)),
    };
    // Where the total is known the name of the stage says what is counted.
    match (count.is_empty(), stage.detail.is_empty() || stage.total > 0) {
        (_, true) => count,
        (true, false) => stage.detail.clone(),
        (false, false) => format!("{count}, {}", stage.detail),
    }
}

fn number(count: u64) -> String {
    grouped(i64::try_from(count).unwrap_or(i64::MAX))
}

fn seconds(ms: u64) -> String {
    match ms / 1_000 {
        below @ 0..60 => format!("{below}.{} s", ms % 1_000 / 100),
        whole => format!("{}:{:02} min", whole / 60, whole % 60),
    }
}

fn wait(us: u64) -> String {
    match us {
        0..10_000 => format!("{:.1} ms", us as f64 / 1e3),
        10_000..10_000_000 => format!("{} ms", number(us / 1_000)),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests;
