//! Every chart is well-formed, tells its title, survives any data, and stands its values where they
//! belong.

use roxmltree::{Document, Node};

use crate::app::charts::axis::{seconds, short};
use crate::app::charts::distribution::{corners, shares, stairs};
use crate::app::charts::{
    Axis, Bar, Ink, Line, Part, Sample, Sheet, cumulative, histogram, lines, matrix, named_bars,
    stacked_bars,
};
use crate::domain::time::Time;

fn sheet() -> Sheet {
    Sheet::new("Payments & <decisions>").labels("time", "payments")
}

/// Parses, checks what every chart has, and returns the texts that are drawn.
#[track_caller]
fn texts(svg: &str) -> Vec<String> {
    let document = Document::parse(svg).expect("well-formed");
    let root = document.root_element();
    assert_eq!(root.tag_name().name(), "svg");
    assert_eq!(root.attribute("role"), Some("img"));
    let of = |name: &'static str| move |it: &Node<'_, '_>| it.tag_name().name() == name;
    let title = root.children().find(of("title")).expect("a title");
    assert_eq!(title.text(), Some("Payments & <decisions>"));
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    let drawn = root.descendants().filter(of("text"));
    drawn
        .map(|it| it.text().unwrap_or_default().trim().to_owned())
        .collect()
}

#[test]
fn every_chart_shows_its_names() {
    let x = Axis::linear(0.0, 10.0);
    let points = vec![(0.0, 1.0), (5.0, 20.0), (10.0, 3.0)];
    let two = [
        Line::new("p50", Ink::Blue, points.clone()).filled(),
        Line::new("p99", Ink::Red, points),
    ];
    let found = texts(&lines(&sheet(), &x, &two));
    for name in ["p50", "p99", "payments", "time", "0", "20", "10"] {
        assert!(found.iter().any(|it| it == name), "{name}: {found:?}");
    }
    let parts = [
        Part::new("DECLINE", Ink::Red, vec![1.0, 2.0]),
        Part::new("REVIEW", Ink::Amber, vec![3.0, 0.0]),
    ];
    let over = Part::new("fraud", Ink::Violet, vec![2.0, 6.0]);
    let svg = stacked_bars(&sheet(), &x, &[0.0, 5.0, 10.0], &parts, Some(&over));
    let found = texts(&svg);
    for name in ["DECLINE", "REVIEW", "fraud", "6"] {
        assert!(found.iter().any(|it| it == name), "{name}: {found:?}");
    }
    let bar = |name: &str, note: &str| Bar {
        name: name.to_owned(),
        values: vec![3.0, 1.0],
        note: note.to_owned(),
    };
    let bars = [bar("takeover", "75 %"), bar("ring & co", "0 %")];
    let found = texts(&named_bars(
        &sheet(),
        &[("caught", Ink::Teal), ("missed", Ink::Red)],
        &bars,
    ));
    for name in ["caught", "missed", "takeover", "ring & co", "75 %"] {
        assert!(found.iter().any(|it| it == name), "{name}: {found:?}");
    }
    let names = ["R1".to_owned(), "R2".to_owned()];
    let cells = [vec![None, Some(0.25)], vec![Some(0.003), Some(1.0)]];
    let found = texts(&matrix(&sheet(), &names, &names, &cells));
    assert_eq!(found, ["R1", "R2", "R1", "25", "R2", "<1", "100"]);
}

#[test]
fn data_that_are_empty_or_strange_still_make_a_chart() {
    let strange = [f64::NAN, f64::INFINITY, -1.0, 0.0];
    let axes = [
        Axis::linear(f64::NAN, 1.0),
        Axis::linear(3.0, 3.0),
        Axis::log(0.0, -1.0),
        Axis::time(Time::from_micros(5), Time::from_micros(5)),
    ];
    for axis in &axes {
        let one = [Line::new("one", Ink::Blue, vec![(0.0, 0.0)]).filled()];
        texts(&lines(&sheet(), axis, &one));
        assert_eq!(texts(&lines(&sheet(), axis, &[])), ["no data"]);
        let empty = stacked_bars(&sheet(), axis, &[], &[], None);
        assert_eq!(texts(&empty), ["no data"]);
    }
    for is_log in [true, false] {
        let none = Sample::new("none", Ink::Blue, []);
        let odd = Sample::new("odd", Ink::Red, strange);
        texts(&histogram(
            &sheet(),
            &[none.clone(), odd.clone()],
            10,
            is_log,
        ));
        texts(&cumulative(&sheet(), &[odd], is_log));
        assert_eq!(
            texts(&histogram(&sheet(), &[none], 10, is_log)),
            ["no data"]
        );
    }
    assert_eq!(texts(&named_bars(&sheet(), &[], &[])), ["no data"]);
    assert_eq!(texts(&matrix(&sheet(), &[], &[], &[])), ["no data"]);
}

#[test]
fn a_title_is_drawn_only_where_it_is_asked_for() {
    let x = Axis::linear(0.0, 1.0);
    let one = [Line::new("one", Ink::Blue, vec![(0.0, 1.0), (1.0, 1.0)])];
    let has_title = |svg: &str| texts(svg).iter().any(|it| it == "Payments & <decisions>");
    assert!(!has_title(&lines(&sheet(), &x, &one)));
    assert!(has_title(&lines(&sheet().headed(), &x, &one)));
}

#[test]
fn ticks_are_round_and_few() {
    let labels = |axis: Axis| {
        let labels = axis.ticks.iter().map(|it| it.1.clone());
        labels.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(labels(Axis::up_to(37_000.0)), "0 10k 20k 30k 40k");
    assert_eq!(labels(Axis::up_to(1.0)), "0 0.2 0.4 0.6 0.8 1");
    assert_eq!(labels(Axis::linear(-1.0, 1.0)), "-1 -0.5 0 0.5 1");
    assert_eq!(labels(Axis::log(1.0, 500.0)), "1 3 10 30 100 300");
    assert_eq!(
        labels(Axis::log(0.1, 1e6)),
        "0.1 1 10 100 1k 10k 100k 1M".replace("1k", "1000")
    );
    let day = |day: i64| Time::from_micros(day * crate::domain::time::MICROS_PER_DAY);
    // 20089 days after 1970 is 2025-01-01.
    assert_eq!(
        labels(Axis::time(day(20_089), day(20_093))),
        "01-01 12:00 01-02 12:00 01-03 12:00 01-04 12:00 01-05"
    );
    assert_eq!(
        labels(Axis::time(day(20_089), day(20_119))),
        "01-01 01-06 01-11 01-16 01-21 01-26 01-31"
    );
    let minutes = day(20_089).plus_ms(60_000 * 40);
    assert_eq!(
        labels(Axis::time(day(20_089), minutes)),
        "00:00 00:05 00:10 00:15 00:20 00:25 00:30 00:35 00:40"
    );
    for (value, text) in [
        (0.0, "0"),
        (0.25, "0.25"),
        (1234.0, "1234"),
        (12_345.0, "12.3k"),
        (2e6, "2M"),
        (-1500.0, "-1500"),
    ] {
        assert_eq!(short(value), text);
    }
}

#[test]
fn values_stand_in_their_buckets() {
    let sample = Sample::counted("s", Ink::Blue, [(1.0, 1.0), (10.0, 2.0), (100.0, 1.0)]);
    let x = Axis::log(1.0, 100.0);
    assert_eq!(shares(&sample, &x, 2), [0.25, 0.75]);
    assert_eq!(shares(&sample, &Axis::linear(1.0, 100.0), 2), [0.75, 0.25]);
    let found = corners(&sample, &x);
    assert_eq!(found, [(1.0, 25.0), (10.0, 75.0), (100.0, 100.0)]);
    let many = Sample::new("m", Ink::Blue, (0..10_000).map(f64::from));
    let found = corners(&many, &Axis::linear(0.0, 9_999.0));
    assert!(found.len() <= 401, "{}", found.len());
    assert_eq!(found.last().map(|it| it.1), Some(100.0));
    assert_eq!(seconds(Time::from_micros(1_500_000)), 1.5);
}

#[test]
fn a_sample_of_one_value_is_a_step() {
    let week = Sample::counted("handbook", Ink::Blue, [(7.0, 3.0)]);
    let x = Axis::linear(0.0, 10.0);
    let outline = stairs(&corners(&week, &x), &x);
    assert_eq!(
        outline,
        [(0.0, 0.0), (7.0, 0.0), (7.0, 100.0), (10.0, 100.0)]
    );
    let none = Sample::new("none", Ink::Blue, []);
    assert!(stairs(&corners(&none, &x), &x).is_empty());
}
