//! Pictures of all sizes: nothing wider or higher than the face, nothing coloured without colour,
//! everything that matters said.

use console::{measure_text_width, strip_ansi_codes};

use super::{Face, plain, sparkline, view};
use crate::app::live::{Live, Stage, State, Stopped, Waited};
use crate::domain::vocabulary::Outcome;

fn stage(name: &str, state: State, done: u64, total: u64, detail: &str) -> Stage {
    Stage {
        name: name.to_owned(),
        state,
        done,
        total,
        detail: detail.to_owned(),
        took_ms: 1_250,
    }
}

fn live() -> Live {
    let stopped = |nth: u64| Stopped {
        ts: "2025-01-14T12:03".to_owned(),
        outcome: if nth.is_multiple_of(2) {
            Outcome::Decline
        } else {
            Outcome::Review
        },
        score: 95,
        event_id: format!("corner-shops-v1:{nth}"),
        reasons: vec!["TAKEOVER_PATTERN".to_owned(), "HIGH_AMOUNT".to_owned()],
    };
    Live {
        title: "bank-month, 24,310 payments".to_owned(),
        run: format!("run_{}", "3f".repeat(32)),
        elapsed_ms: 75_300,
        stages: vec![
            stage("world", State::Done, 0, 0, "30 days"),
            stage("stream", State::Doing, 20_000, 24_310, ""),
            stage("decide", State::Doing, 17_260, 24_310, ""),
            stage("balance", State::Waiting, 0, 0, ""),
        ],
        rate: 4_120,
        rates: (0..200).map(|at| at * 20).collect(),
        eta_ms: Some(1_700),
        outcomes: [16_800, 210, 180, 70],
        degraded: 0,
        waited: Some(Waited {
            p50_us: 212_000,
            p99_us: 480_000,
            max_us: 12_000_000,
        }),
        stopped: (0..8).map(stopped).collect(),
        balance: Some((31, 31)),
        replay: Some((500, 2)),
    }
}

#[test]
fn a_picture_fits_any_terminal() {
    for width in [1, 20, 40, 60, 80, 120, 300] {
        for height in [1, 10, 16, 24, 40, 100] {
            let face = Face {
                width,
                height,
                has_colour: true,
            };
            let lines = view(&live(), face);
            assert!(lines.len() < height.max(8), "{} of {height}", lines.len());
            let widest = lines.iter().map(|line| measure_text_width(line)).max();
            assert!(widest < Some(width.max(20)), "{widest:?} of {width}");
        }
    }
    assert!(
        !view(
            &Live::default(),
            Face {
                width: 80,
                height: 24,
                has_colour: true
            }
        )
        .is_empty()
    );
}

#[test]
fn a_picture_says_what_matters() {
    let face = Face {
        width: 120,
        height: 40,
        has_colour: true,
    };
    let coloured = view(&live(), face).join("\n");
    let text = strip_ansi_codes(&coloured).into_owned();
    for part in [
        "bank-month, 24,310 payments",
        "1:15 min",
        "✓ world    30 days",
        "82 %  20,000 of 24,310",
        "71 %  17,260 of 24,310",
        "1.7 s left",
        "4,120/s now, 3,980 at best",
        "approve 16,800 (97.3 %)",
        "decline 70 (0.4 %)",
        "p50 212 ms   p99 480 ms   max 12.0 s",
        "balanced: 31 of 31 checks equal",
        "2 of 500 decisions DIFFER",
        "01-14 12:03  DECLINE    95  TAKEOVER_PATTERN HIGH_AMOUNT",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    assert_ne!(coloured, text);
    let plain = view(
        &live(),
        Face {
            has_colour: false,
            ..face
        },
    )
    .join("\n");
    assert_eq!(plain, text, "NO_COLOR changes nothing but the colour");
    let unequal = Live {
        balance: Some((30, 31)),
        ..live()
    };
    let text = view(
        &unequal,
        Face {
            has_colour: false,
            ..face
        },
    )
    .join("\n");
    assert!(
        text.contains("NOT balanced: 1 of 31 checks differ"),
        "{text}"
    );
}

#[test]
fn a_small_terminal_keeps_the_stages_and_loses_the_rest_first() {
    let face = Face {
        width: 80,
        height: 24,
        has_colour: false,
    };
    let text = view(&live(), face).join("\n");
    assert!(
        text.contains("balance") && text.contains("DECLINE"),
        "{text}"
    );
    let text = view(&live(), Face { height: 8, ..face }).join("\n");
    assert!(
        text.contains("balance") && !text.contains("DECLINE"),
        "{text}"
    );
}

#[test]
fn a_log_has_a_line_a_stage_and_one_now_and_then() {
    let before = Live {
        stages: vec![
            stage("world", State::Doing, 1, 2, ""),
            stage("stream", State::Waiting, 0, 0, ""),
        ],
        ..Live::default()
    };
    assert_eq!(plain(None, &before, false), Vec::<String>::new());
    assert_eq!(plain(None, &before, true), ["world: 1 of 2"]);
    assert_eq!(
        plain(Some(&before), &live(), false),
        ["1/4 world: 30 days (1.2 s)"]
    );
    assert_eq!(plain(Some(&live()), &live(), false), Vec::<String>::new());
    assert_eq!(
        plain(Some(&live()), &live(), true),
        ["decide: 17,260 of 24,310; 17,260 decided, 460 not approved, 4,120/s, 1.7 s left"]
    );
}

#[test]
fn a_sparkline_shows_the_shape() {
    assert_eq!(sparkline(&[], 10), "");
    assert_eq!(sparkline(&[0, 7], 10), "▁█");
    assert_eq!(sparkline(&[0, 0, 4, 4, 8, 8], 3), "▁▅█");
    assert_eq!(
        sparkline(&(0..1_000).collect::<Vec<_>>(), 40)
            .chars()
            .count(),
        40
    );
}
