//! `bench score` (P4): what a tree ensemble takes for a row in the decision's own thread, against a
//! walk over boxed nodes and against LightGBM where it is installed, whose scores must be the same.

use std::fmt::Write as _;
use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use anyhow::Context;
use hdrhistogram::Histogram;
use serde::Deserialize;

use crate::app::bench::machine::Machine;
use crate::app::bench::report::{Goal, Measure, Ratio, Report, measure};
use crate::app::cli::BenchScore;
use crate::app::output::Output;
use crate::app::run::DONE;
use crate::contracts::trees::{FORM, Link, Split, Tree, Trees};
use crate::engine::FeatureSet;
use crate::engine::scoring::Model;

const FEATURES: usize = 20;
const ROUNDS: usize = 5;
/// Of a hundred values, how many are missing.
const MISSING_PERCENT: u64 = 5;
const WITH_LIGHTGBM: &str = include_str!("score_lightgbm.py");

pub(crate) fn run(asked: &BenchScore, output: &Output) -> anyhow::Result<u8> {
    let machine = Machine::before();
    let mut draw = Draw(asked.seed);
    let names: Vec<String> = (0..FEATURES).map(|at| format!("f{at}")).collect();
    let columns: Vec<(&str, f64)> = names.iter().map(|it| (it.as_str(), 1.0)).collect();
    let shape = ensemble(&mut draw, &columns, asked.trees, asked.depth);
    let model = Model::of(&shape, &set()?)?;
    let naive: Vec<Boxed> = shape.trees.iter().map(|it| boxed(it, 0)).collect();
    let rows: Vec<Vec<f64>> = (0..asked.rows).map(|_| draw.row()).collect();

    output.note("the flat walk, the explained walk, the naive walk, in turns");
    let raw = |row: &[f64]| model.raw(row);
    let walks: [&Walk<'_>; 3] = [&raw, &|row| model.explain(row).raw, &|row| {
        naive.iter().fold(shape.base, |sum, it| sum + it.leaf(row))
    }];
    let mut times = [f64::INFINITY; 3];
    for _ in 0..ROUNDS {
        for (least, walk) in times.iter_mut().zip(walks) {
            *least = least.min(batch(walk, &rows));
        }
    }
    for row in &rows {
        let scores = walks.map(|walk| walk(row).to_bits());
        anyhow::ensure!(scores.iter().all(|it| *it == scores[0]), "the walks differ");
    }
    let single = single(walks[1], &rows)?;
    output.note("LightGBM");
    let lightgbm = lightgbm(&shape, &rows)?;
    let worst = lightgbm.as_ref().map(|it| worst(&it.scores, &rows, raw));
    let report = report(machine.after(), times, &single, lightgbm.as_ref(), worst);
    report.print(output);
    Ok(DONE)
}

/// From a row to its raw score.
type Walk<'w> = dyn Fn(&[f64]) -> f64 + 'w;

/// Microseconds a row, all rows in one go.
fn batch(walk: &Walk<'_>, rows: &[Vec<f64>]) -> f64 {
    let began = Instant::now();
    for row in rows {
        black_box(walk(black_box(row)));
    }
    began.elapsed().as_secs_f64() * 1e6 / rows.len() as f64
}

/// Nanoseconds of each row by itself.
fn single(walk: &Walk<'_>, rows: &[Vec<f64>]) -> anyhow::Result<Histogram<u64>> {
    let mut times = Histogram::new(3)?;
    for row in rows {
        let began = Instant::now();
        black_box(walk(black_box(row)));
        times.record(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX))?;
    }
    Ok(times)
}

fn worst(theirs: &[f64], rows: &[Vec<f64>], raw: impl Fn(&[f64]) -> f64) -> f64 {
    let differences = rows
        .iter()
        .zip(theirs)
        .map(|(row, it)| (raw(row) - it).abs());
    differences.fold(0.0, f64::max)
}

fn report(
    machine: Machine,
    [flat, explained, naive]: [f64; 3],
    single: &Histogram<u64>,
    lightgbm: Option<&LightGbm>,
    worst: Option<f64>,
) -> Report {
    let mut ratios = vec![
        Ratio::new(
            "naive walk over flat walk, time a row",
            naive,
            flat,
            Goal::None,
        ),
        Ratio::new(
            "explained walk over flat walk, time a row",
            explained,
            flat,
            Goal::None,
        ),
    ];
    let mut measures: Vec<Measure> = vec![
        measure("flat walk, score alone", flat, "µs/row"),
        measure(
            "with contributions, as a decision scores",
            explained,
            "µs/row",
        ),
        measure("naive walk over boxed nodes", naive, "µs/row"),
    ];
    for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)] {
        let micros = single.value_at_quantile(quantile) as f64 / 1e3;
        measures.push(measure(
            format!("with contributions, row by row, {name}"),
            micros,
            "µs",
        ));
    }
    let mut notes = vec![
        "times a row are the least of 5 rounds over all rows, one thread; p50 to p99.9 are of one more round, each row timed",
    ];
    match lightgbm {
        Some(found) => {
            let goal = Goal::AtLeast(10.0);
            let ratio = Ratio::new("P4 LightGBM's batch over flat walk, time a row", found.batch_us, flat, goal);
            ratios.insert(0, ratio);
            measures.push(measure("LightGBM, a batch of all rows, one thread", found.batch_us, "µs/row"));
            measures.push(measure("LightGBM, one row a call", found.single_us, "µs/row"));
            measures.push(measure(
                "largest difference of a raw score from LightGBM's",
                worst.unwrap_or(f64::NAN),
                "",
            ));
            notes.push("LightGBM reads the same ensemble from a text model and runs in Python on one thread");
        }
        None => notes.push("LightGBM is absent (python3 -c 'import lightgbm' fails): P4 is not measured, scores are compared with the naive walk alone"),
    }
    Report {
        bench: "score",
        machine,
        ratios,
        cpu: None,
        measures,
        notes,
    }
}

#[derive(Debug, Deserialize)]
struct LightGbm {
    batch_us: f64,
    single_us: f64,
    scores: Vec<f64>,
}

/// The same ensemble and rows through LightGBM; `None` where there is none.
fn lightgbm(shape: &Trees, rows: &[Vec<f64>]) -> anyhow::Result<Option<LightGbm>> {
    let has = Command::new("python3")
        .args(["-c", "import lightgbm"])
        .output();
    if !has.is_ok_and(|it| it.status.success()) {
        return Ok(None);
    }
    let dir = tempfile::tempdir().context("making a directory for LightGBM")?;
    let (model, table) = (dir.path().join("model.txt"), dir.path().join("rows.csv"));
    std::fs::write(&model, to_lightgbm(shape)?)?;
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().map(f64::to_string).collect();
        writeln!(text, "{}", cells.join(","))?;
    }
    std::fs::write(&table, text)?;
    let ran = Command::new("python3")
        .args(["-c", WITH_LIGHTGBM])
        .args([&model, &table])
        .output()
        .context("running LightGBM")?;
    let said = String::from_utf8_lossy(&ran.stderr);
    anyhow::ensure!(ran.status.success(), "LightGBM failed: {said}");
    Ok(Some(serde_json::from_slice(&ran.stdout)?))
}

/// The ensemble as LightGBM's text model: inner nodes and leaves are numbered apart there.
fn to_lightgbm(shape: &Trees) -> anyhow::Result<String> {
    let mut text = format!(
        "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx={}\nobjective=binary sigmoid:1\nfeature_names={}\nfeature_infos={}\n\n",
        FEATURES - 1,
        shape.features.join(" "),
        vec!["[0:1]"; FEATURES].join(" ")
    );
    for (number, tree) in shape.trees.iter().enumerate() {
        let n = tree.feature.len();
        let is_leaf = |at: usize| tree.feature[at] < 0;
        let (mut inner, mut leaves) = (Vec::new(), Vec::new());
        let mut named = vec![0_i64; n];
        for (at, named) in named.iter_mut().enumerate() {
            let list = if is_leaf(at) { &mut leaves } else { &mut inner };
            let nth = i64::try_from(list.len())?;
            *named = if is_leaf(at) { -nth - 1 } else { nth };
            list.push(at);
        }
        let of = |nodes: &[usize], value: &dyn Fn(usize) -> String| {
            let values: Vec<String> = nodes.iter().map(|it| value(*it)).collect();
            values.join(" ")
        };
        // NaN is what is missing (8), to the left by default (2).
        let decision = |at: usize| (8 + 2 * u8::from(tree.missing_left[at])).to_string();
        write!(
            text,
            "Tree={number}\nnum_leaves={}\nnum_cat=0\nsplit_feature={}\nsplit_gain={}\nthreshold={}\ndecision_type={}\nleft_child={}\nright_child={}\nleaf_value={}\nleaf_weight={}\nleaf_count={}\ninternal_value={}\ninternal_weight={}\ninternal_count={}\nis_linear=0\nshrinkage=1\n\n\n",
            leaves.len(),
            of(&inner, &|at| tree.feature[at].to_string()),
            of(&inner, &|_| "1".to_owned()),
            of(&inner, &|at| tree.threshold[at].to_string()),
            of(&inner, &decision),
            of(&inner, &|at| named[tree.left[at] as usize].to_string()),
            of(&inner, &|at| named[tree.right[at] as usize].to_string()),
            of(&leaves, &|at| tree.value[at].to_string()),
            of(&leaves, &|_| "1".to_owned()),
            of(&leaves, &|_| "1".to_owned()),
            of(&inner, &|_| "0".to_owned()),
            of(&inner, &|_| "1".to_owned()),
            of(&inner, &|_| "1".to_owned()),
        )?;
    }
    text.push_str(
        "end of trees\n\nparameters:\n[boosting: gbdt]\n[objective: binary]\nend of parameters\n",
    );
    Ok(text)
}

/// A node as a first program would have it.
enum Boxed {
    Leaf(f64),
    Inner {
        feature: usize,
        threshold: f64,
        missing_left: bool,
        children: [Box<Boxed>; 2],
    },
}

fn boxed(tree: &Tree, at: usize) -> Boxed {
    let Ok(feature) = usize::try_from(tree.feature[at]) else {
        return Boxed::Leaf(tree.value[at]);
    };
    let child = |it: u32| Box::new(boxed(tree, it as usize));
    Boxed::Inner {
        feature,
        threshold: tree.threshold[at],
        missing_left: tree.missing_left[at],
        children: [child(tree.left[at]), child(tree.right[at])],
    }
}

impl Boxed {
    fn leaf(&self, row: &[f64]) -> f64 {
        match self {
            Boxed::Leaf(value) => *value,
            Boxed::Inner {
                feature,
                threshold,
                missing_left,
                children,
            } => {
                let value = row[*feature];
                let left = match value.is_nan() {
                    true => *missing_left,
                    false => value <= *threshold,
                };
                children[usize::from(!left)].leaf(row)
            }
        }
    }
}

fn set() -> anyhow::Result<FeatureSet> {
    let mut text = "feature_set: bench\nversion: 1\nfeatures:\n".to_owned();
    for at in 0..FEATURES {
        writeln!(text, "  - {{name: f{at}, type: float, expr: '0.5'}}")?;
    }
    FeatureSet::compile("bench.yaml", &text).map_err(|found| anyhow::anyhow!("{}", found[0]))
}

/// Whole trees of the depth over columns, thresholds between 0 and each column's bound.
pub(crate) fn ensemble(draw: &mut Draw, columns: &[(&str, f64)], trees: u32, depth: u32) -> Trees {
    let inner = (1_u32 << depth) - 1;
    let n = 2 * inner + 1;
    let mut tree = || {
        let feature: Vec<i32> = (0..n)
            .map(|at| {
                if at < inner {
                    (draw.next() % columns.len() as u64) as i32
                } else {
                    -1
                }
            })
            .collect();
        let bound = |it: &i32| usize::try_from(*it).map_or(0.0, |it| columns[it].1);
        let threshold = feature.iter().map(|it| bound(it) * draw.unit());
        let threshold = threshold.collect();
        Tree {
            feature,
            threshold,
            missing_left: (0..n).map(|_| draw.next().is_multiple_of(2)).collect(),
            left: (0..n)
                .map(|at| if at < inner { 2 * at + 1 } else { 0 })
                .collect(),
            right: (0..n)
                .map(|at| if at < inner { 2 * at + 2 } else { 0 })
                .collect(),
            value: (0..n).map(|_| (draw.unit() - 0.5) / 10.0).collect(),
        }
    };
    Trees {
        form: FORM.to_owned(),
        features: columns.iter().map(|it| it.0.to_owned()).collect(),
        base: 0.0,
        link: Link::Logistic,
        split: Split::LessEqual,
        trees: (0..trees).map(|_| tree()).collect(),
    }
}

/// SplitMix64: the same seed makes the same trees and rows.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// In [0, 1).
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn row(&mut self) -> Vec<f64> {
        (0..FEATURES)
            .map(|_| match self.next() % 100 < MISSING_PERCENT {
                true => f64::NAN,
                false => self.unit(),
            })
            .collect()
    }
}
