//! Scores by hand, by a naive walk, and what a model must not be.

use std::sync::Arc;

use super::*;
use crate::contracts::trees::{FORM, Split, Tree as Shape, Trees};
use crate::domain::digest::Tagged;
use crate::engine::features::FeatureSet;
use crate::engine::scoring::compile::{FeatureFault, TreeFault};

fn set() -> Arc<FeatureSet> {
    let text = "feature_set: s\nversion: 1\nfeatures:\n\
        \x20 - {name: a, type: float, expr: '0.5'}\n\
        \x20 - {name: word, type: text, expr: event.channel}\n\
        \x20 - {name: b, type: int, expr: '1'}\n\
        \x20 - {name: c, type: bool, expr: 'true'}\n";
    Arc::new(FeatureSet::compile("f.yaml", text).unwrap())
}

/// `a <= 1 ? (b <= 2 ? -1 : 2) : 4`, a missing `a` to the right, a missing `b` to the left.
fn tree() -> Shape {
    Shape {
        feature: vec![0, 1, -1, -1, -1],
        threshold: vec![1.0, 2.0, 0.0, 0.0, 0.0],
        missing_left: vec![false, true, true, true, true],
        left: vec![1, 3, 0, 0, 0],
        right: vec![2, 4, 0, 0, 0],
        value: vec![1.5, 0.5, 4.0, -1.0, 2.0],
    }
}

fn model(trees: Vec<Shape>) -> Trees {
    Trees {
        form: FORM.to_owned(),
        features: vec!["a".to_owned(), "b".to_owned(), "c".to_owned()],
        base: 0.25,
        link: Link::Logistic,
        split: Split::LessEqual,
        trees,
    }
}

#[test]
fn a_tree_scores_as_it_reads_and_says_why() {
    let compiled = Model::of(&model(vec![tree()]), &set()).unwrap();
    let nan = f64::NAN;
    let cases = [
        ([1.0, 2.0, 0.0], -0.75, [-1.0, -1.5]),
        ([1.0, 2.5, 0.0], 2.25, [-1.0, 1.5]),
        ([1.5, 0.0, 0.0], 4.25, [2.5, 0.0]),
        ([nan, 0.0, 0.0], 4.25, [2.5, 0.0]),
        ([0.0, nan, 0.0], -0.75, [-1.0, -1.5]),
    ];
    for (row, raw, contributions) in cases {
        let score = compiled.explain(&row);
        assert_eq!((score.raw, compiled.raw(&row)), (raw, raw), "{row:?}");
        assert_eq!(score.contributions[..2], contributions, "{row:?}");
        assert_eq!(score.score, 1.0 / (1.0 + libm::exp(-raw)));
    }
    assert_eq!(compiled.expected(), 1.75);
}

#[test]
fn below_is_told_from_at_most() {
    let strict = Trees {
        split: Split::Less,
        ..model(vec![tree()])
    };
    let strict = Model::of(&strict, &set()).unwrap();
    assert_eq!(strict.raw(&[1.0, 0.0, 0.0]), 4.25);
    assert_eq!(strict.raw(&[1.0_f64.next_down(), 0.0, 0.0]), -0.75);
}

#[test]
fn a_row_is_the_features_as_numbers() {
    let compiled = Model::of(&model(vec![tree()]), &set()).unwrap();
    let mut row = vec![9.0; 9];
    let values = [
        Value::Missing,
        Value::Text("pos".to_owned()),
        Value::Int(7),
        Value::Bool(true),
    ];
    compiled.row(&values, &mut row);
    assert!(row[0].is_nan());
    assert_eq!(row[1..], [7.0, 1.0]);
}

/// Random trees of random depths: the lanes, the explained walk and a walk over the file's own
/// arrays agree to the bit, and the contributions add up. Of few features and of many.
#[test]
fn every_walk_agrees_and_contributions_sum_to_the_score() {
    let few = model(Vec::new()).features;
    let many: Vec<String> = (0..200).map(|at| format!("f{at}")).collect();
    let mut text = "feature_set: s\nversion: 1\nfeatures:\n".to_owned();
    for name in &many {
        text += &format!("  - {{name: {name}, type: float, expr: '0.5'}}\n");
    }
    let wide = FeatureSet::compile("f.yaml", &text).unwrap();
    agree(few, &set(), Split::LessEqual);
    agree(many.clone(), &wide, Split::LessEqual);
    agree(many, &wide, Split::Less);
}

fn agree(features: Vec<String>, set: &FeatureSet, split: Split) {
    let mut draw = Draw(0);
    let n_features = features.len() as u64;
    let trees = (0..101).map(|at| random(&mut draw, at % 8, n_features));
    let shape = Trees {
        features,
        split,
        ..model(trees.collect())
    };
    let thresholds: Vec<f64> = shape.trees.iter().map(|it| it.threshold[0]).collect();
    let compiled = Model::of(&shape, set).unwrap();
    for _ in 0..500 {
        let row: Vec<f64> = (0..n_features)
            .map(|_| match draw.next() % 16 {
                0 | 1 => f64::NAN,
                2 => f64::INFINITY,
                3 => f64::NEG_INFINITY,
                // Where "below" and "at most" part.
                4..8 => thresholds[(draw.next() % 101) as usize],
                _ => draw.unit(),
            })
            .collect();
        let leaves = shape.trees.iter().map(|it| walk(it, &row, split));
        let naive = leaves.fold(shape.base, |sum, it| sum + it);
        let score = compiled.explain(&row);
        assert_eq!(score.raw.to_bits(), naive.to_bits());
        assert_eq!(compiled.raw(&row).to_bits(), naive.to_bits());
        let credited = credited(&shape, &row);
        assert_eq!(score.contributions, credited);
        let expected = compiled.expected();
        let added = credited.iter().fold(expected, |sum, it| sum + it);
        assert!((added - score.raw).abs() < 1e-9, "{added} {}", score.raw);
    }
}

/// The steps of every path in order, by feature, over the file's own arrays.
fn credited(shape: &Trees, row: &[f64]) -> Vec<f64> {
    let mut credited = vec![0.0; shape.features.len()];
    for tree in &shape.trees {
        let mut at = 0;
        while let Some((feature, next)) = step(tree, at, row, shape.split) {
            credited[feature] += tree.value[next] - tree.value[at];
            at = next;
        }
    }
    credited
}

/// The feature that a node asks for and the node that follows; none of a leaf.
fn step(tree: &Shape, at: usize, row: &[f64], split: Split) -> Option<(usize, usize)> {
    let feature = usize::try_from(tree.feature[at]).ok()?;
    let value = row[feature];
    let left = match (value.is_nan(), split) {
        (true, _) => tree.missing_left[at],
        (false, Split::LessEqual) => value <= tree.threshold[at],
        (false, Split::Less) => value < tree.threshold[at],
    };
    let next = if left { tree.left[at] } else { tree.right[at] };
    Some((feature, next as usize))
}

fn walk(tree: &Shape, row: &[f64], split: Split) -> f64 {
    let mut at = 0;
    while let Some((_, next)) = step(tree, at, row, split) {
        at = next;
    }
    tree.value[at]
}

struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        let digest = Tagged::new("test_draw").display(self.0).digest();
        u64::from_le_bytes(digest.as_bytes()[..8].try_into().unwrap())
    }

    fn unit(&mut self) -> f64 {
        self.next() as f64 / u64::MAX as f64
    }
}

/// A tree of at most `depth`, parents first, whose branches end early here and there.
fn random(draw: &mut Draw, depth: u32, n_features: u64) -> Shape {
    let mut tree = Shape {
        feature: Vec::new(),
        threshold: Vec::new(),
        missing_left: Vec::new(),
        left: Vec::new(),
        right: Vec::new(),
        value: Vec::new(),
    };
    let mut queue = vec![0];
    let mut next = 0;
    while let Some(&at) = queue.get(next) {
        next += 1;
        let is_leaf = at == depth || draw.next().is_multiple_of(6);
        let feature = i32::try_from(draw.next() % n_features).unwrap();
        tree.feature.push(if is_leaf { -1 } else { feature });
        tree.threshold.push(draw.unit());
        tree.missing_left.push(draw.next().is_multiple_of(2));
        let child = u32::try_from(queue.len()).unwrap();
        tree.left.push(child);
        tree.right.push(child + 1);
        tree.value.push(draw.unit() - 0.5);
        if !is_leaf {
            queue.extend([at + 1, at + 1]);
        }
    }
    tree
}

#[test]
fn what_is_no_model_is_refused_with_its_place() {
    #[track_caller]
    fn check(change: impl FnOnce(&mut Trees), expect: &str) {
        let mut shape = model(vec![tree(), tree()]);
        change(&mut shape);
        let error = Model::of(&shape, &set()).expect_err("it must be refused");
        assert_eq!(error.to_string(), expect);
    }
    check(
        |it| it.form = "x".to_owned(),
        "the form is `x`; this engine reads `fraudplat/trees/v1`",
    );
    check(
        |it| it.base = f64::NAN,
        "`base` is not finite, or beyond 1e100",
    );
    check(
        |it| it.features[0] = "d".to_owned(),
        "feature `d` is not in the feature set",
    );
    check(
        |it| it.features[1] = "a".to_owned(),
        "feature `a` is named twice",
    );
    check(
        |it| it.features[2] = "word".to_owned(),
        &format!("feature `word` {}", FeatureFault::Text),
    );
    let fault = |node: &str, fault: TreeFault| format!("tree 1{node}: {fault}");
    let refused = |change: fn(&mut Shape), node: &str, why: TreeFault| {
        check(|it| change(&mut it.trees[1]), &fault(node, why));
    };
    refused(|it| it.value.truncate(4), "", TreeFault::Lengths);
    refused(|it| it.feature.clear(), "", TreeFault::Lengths);
    refused(|it| it.feature[1] = 3, ", node 1", TreeFault::Feature);
    refused(|it| it.feature[1] = -2, ", node 1", TreeFault::Feature);
    refused(
        |it| it.threshold[0] = f64::INFINITY,
        ", node 0",
        TreeFault::NotFinite,
    );
    refused(|it| it.value[4] = 1e200, ", node 4", TreeFault::NotFinite);
    refused(|it| it.left[1] = 0, ", node 1", TreeFault::Child);
    refused(|it| it.right[1] = 5, ", node 1", TreeFault::Child);
    refused(|it| it.right[0] = 1, ", node 1", TreeFault::Parents);
    refused(|it| it.right[1] = 2, ", node 2", TreeFault::Parents);
    refused(|it| it.feature[1] = -1, ", node 3", TreeFault::Parents);
}

#[test]
fn a_tree_has_a_deepest_and_a_walk_ends_there() {
    let chain = |depth: u32| {
        let n = 2 * depth as usize + 1;
        let is_inner = |at: usize| at.is_multiple_of(2) && at + 1 < n;
        let of = |inner: u32, at: usize| {
            if is_inner(at) {
                u32::try_from(at).unwrap() + inner
            } else {
                0
            }
        };
        Shape {
            feature: (0..n).map(|at| if is_inner(at) { 0 } else { -1 }).collect(),
            threshold: vec![0.0; n],
            missing_left: vec![true; n],
            left: (0..n).map(|at| of(1, at)).collect(),
            right: (0..n).map(|at| of(2, at)).collect(),
            value: (0..n).map(|at| at as f64).collect(),
        }
    };
    let deep = Model::of(&model(vec![chain(DEPTH_MAX)]), &set()).unwrap();
    assert_eq!(
        deep.raw(&[1.0, 0.0, 0.0]),
        0.25 + 2.0 * f64::from(DEPTH_MAX)
    );
    let error = Model::of(&model(vec![chain(DEPTH_MAX + 1)]), &set()).unwrap_err();
    assert!(
        matches!(
            error,
            CompileError::Tree {
                fault: TreeFault::Deep,
                ..
            }
        ),
        "{error}"
    );
}

/// A rank is 16 bits wide.
#[test]
fn a_feature_has_not_too_many_thresholds() {
    let of = |n_trees: usize| {
        let mut trees = vec![tree(); n_trees];
        for (at, tree) in trees.iter_mut().enumerate() {
            tree.feature[1] = 0;
            tree.threshold[0] = 2.0 * at as f64;
            tree.threshold[1] = 2.0 * at as f64 + 1.0;
        }
        trees
    };
    let balanced = |at: usize| Shape {
        feature: (0..32_767)
            .map(|node| if node < 16_383 { 0 } else { -1 })
            .collect(),
        threshold: (0..32_767)
            .map(|node| (1_000 + at * 32_767 + node) as f64 + 0.5)
            .collect(),
        missing_left: vec![true; 32_767],
        left: (0..32_767)
            .map(|node| if node < 16_383 { 2 * node + 1 } else { 0 })
            .collect(),
        right: (0..32_767)
            .map(|node| if node < 16_383 { 2 * node + 2 } else { 0 })
            .collect(),
        value: vec![0.0; 32_767],
    };
    let thresholds = |rest: usize| {
        let mut trees: Vec<Shape> = (0..4).map(balanced).collect();
        trees.extend(of(rest));
        model(trees)
    };
    // 4 times 16,383, and 2 each.
    assert!(Model::of(&thresholds(1), &set()).is_ok());
    let error = Model::of(&thresholds(2), &set()).err();
    let expect = CompileError::TooMany {
        what: "thresholds of one feature",
        max: CUTS_MAX,
        found: CUTS_MAX + 1,
    };
    assert_eq!(error, Some(expect));
}

#[test]
fn a_models_numbers_are_read_to_the_last_bit() {
    let mut shape = model(vec![tree()]);
    shape.base = 0.1 + 0.2;
    shape.trees[0].value[2] = 8.41e-301;
    let text = serde_json::to_string(&shape).unwrap();
    assert_eq!(serde_json::from_str::<Trees>(&text).unwrap(), shape);
    assert!(Model::compile(&text, &set()).is_ok());
    let error = Model::compile(&text.replace("\"base\"", "\"bsae\""), &set()).unwrap_err();
    assert!(matches!(error, CompileError::Json { .. }), "{error}");
}

/// As LightGBM 4.7 writes one.
const LIGHTGBM: &str = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=1\n\
objective=binary sigmoid:1\nfeature_names=Column_0 b\nfeature_infos=none none\ntree_sizes=1 1\n\n\
Tree=0\nnum_leaves=3\nnum_cat=0\nsplit_feature=0 1\nsplit_gain=9 8\nthreshold=1.5 2\ndecision_type=8 2\n\
left_child=1 -1\nright_child=-2 -3\nleaf_value=-1 4 2\nleaf_weight=1 1 1\nleaf_count=10 10 20\n\
internal_value=0 0\ninternal_count=40 30\nis_linear=0\nshrinkage=1\n\n\
Tree=1\nnum_leaves=1\nnum_cat=0\nsplit_feature=\nthreshold=\nleaf_value=0.5\nis_linear=0\nshrinkage=1\n\nend of trees\n\nparameters:\n[num_class: 1]\n";

#[test]
fn a_lightgbm_model_keeps_its_scores() {
    let rename = |name: &str| name.replace("Column_0", "a");
    let trees = from_lightgbm(LIGHTGBM, rename).unwrap();
    let compiled = Model::of(&trees, &set()).unwrap();
    assert_eq!(compiled.features().collect::<Vec<_>>(), ["a", "b"]);
    let nan = f64::NAN;
    let scores = [[1.5, 2.0], [1.5, 2.1], [1.6, 0.0], [nan, 0.0], [0.0, nan]];
    let raw = scores.map(|row| compiled.raw(&row));
    // A missing `a` goes right; a missing `b` is read as 0, which is at most 2.
    assert_eq!(raw, [-0.5, 2.5, 4.5, 4.5, -0.5]);
    // Leaves by their rows: (4 * 10 + (-1 * 10 + 2 * 20)) / 40.
    assert_eq!(compiled.expected(), 1.75 + 0.5);
}

#[track_caller]
fn not_imported(from: &str, to: &str, expect: &str) {
    assert!(LIGHTGBM.contains(from));
    let error = from_lightgbm(&LIGHTGBM.replacen(from, to, 1), str::to_owned);
    assert_eq!(error.expect_err("it must be refused").to_string(), expect);
}

#[test]
fn what_would_score_otherwise_is_not_imported() {
    not_imported(
        "tree\nversion",
        "forest\nversion",
        "line 1: a LightGBM text model begins with `tree`",
    );
    not_imported(
        "num_class=1",
        "num_class=3",
        "line 3: `num_class` is 3: one class only",
    );
    not_imported(
        "sigmoid:1",
        "sigmoid:10",
        "line 7: a sigmoid other than 1 is not supported",
    );
    not_imported(
        "binary sigmoid:1",
        "poisson",
        "line 7: the objective `poisson` is not supported",
    );
    not_imported(
        "num_cat=0",
        "num_cat=1",
        "line 14: categorical splits are not supported",
    );
    not_imported(
        "is_linear=0",
        "is_linear=1",
        "line 26: linear leaves are not supported",
    );
    not_imported(
        "decision_type=8",
        "decision_type=5",
        "line 13: categorical splits are not supported",
    );
    not_imported(
        "decision_type=8",
        "decision_type=4",
        "line 13: zero as missing is not supported",
    );
}

#[test]
fn a_broken_lightgbm_text_is_refused_with_its_line() {
    not_imported(
        "left_child=1 -1",
        "left_child=1 -9",
        "line 13: a child is beyond the tree",
    );
    not_imported(
        "left_child=1 -1",
        "left_child=0 -1",
        "line 13: its nodes go round in a circle",
    );
    not_imported(
        "left_child=1 -1",
        "left_child=1",
        "line 19: `left_child` has 1 entries, not 2",
    );
    not_imported(
        "threshold=1.5 2",
        "threshold=1.5 x",
        "line 17: `threshold` holds no numbers",
    );
    not_imported("threshold=1.5 2", "x=1", "line 12: `threshold=` is missing");
    not_imported(
        "num_leaves=3",
        "num_leaves=0",
        "line 13: `num_leaves` is no count",
    );
}

/// A model that LightGBM trained, and what it said: `tests/engine_reference/lightgbm/make.py`.
#[test]
fn a_trained_model_scores_as_lightgbm_does_to_the_last_bit() {
    let text = include_str!("../../../tests/engine_reference/lightgbm/model.txt");
    let said = include_str!("../../../tests/engine_reference/lightgbm/scores.json");
    let said: serde_json::Value = serde_json::from_str(said).unwrap();
    let number = |it: &serde_json::Value| it.as_f64().unwrap_or(f64::NAN);
    let trees = from_lightgbm(text, str::to_owned).unwrap();
    assert_eq!(trees.trees.len(), 12);
    let compiled = Model::of(&trees, &set()).unwrap();
    let rows = said["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 200);
    for (at, row) in rows.iter().enumerate() {
        let row: Vec<f64> = row.as_array().unwrap().iter().map(number).collect();
        let score = compiled.explain(&row);
        assert_eq!(
            score.raw.to_bits(),
            number(&said["raw"][at]).to_bits(),
            "row {at}"
        );
        // Another exp than libm's may differ in the last place.
        let difference = (score.score - number(&said["score"][at])).abs();
        assert!(difference < 1e-15, "row {at}: {difference}");
        let added = score
            .contributions
            .iter()
            .fold(compiled.expected(), |sum, it| sum + it);
        assert!((added - score.raw).abs() < 1e-9, "row {at}");
    }
}
