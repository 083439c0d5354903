//! From a model's file to a model: every tree is checked, so that a walk can neither leave its
//! tree nor go round in it.

use std::cmp::Ordering;

use crate::contracts::feature_set::ValueType;
use crate::contracts::trees::{FORM, Tree as Shape, Trees};
use crate::engine::features::FeatureSet;
use crate::engine::scoring::Model;
use crate::engine::scoring::flat::{self, CUTS_MAX, FEATURES_MAX, Flat};

/// Limits of a model: far beyond what trainers make, and within 32 bits.
pub const TREES_MAX: usize = 10_000;
pub const NODES_MAX: usize = 4_000_000;
pub const DEPTH_MAX: u32 = 64;
/// So that no sum of them leaves the floats.
const VALUE_MAX: f64 = 1e100;

/// What is wrong with a model, where.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum CompileError {
    #[error("{cause}")]
    Json {
        line: usize,
        column: usize,
        cause: String,
    },
    #[error("the form is `{found}`; this engine reads `{FORM}`")]
    Form { found: String },
    #[error("`base` is not finite, or beyond {VALUE_MAX:e}")]
    Base,
    #[error("a model has at most {max} {what}, this one has {found}")]
    TooMany {
        what: &'static str,
        max: usize,
        found: usize,
    },
    #[error("feature `{name}` {fault}")]
    Feature { name: String, fault: FeatureFault },
    #[error("tree {tree}{}: {fault}", node.map_or_else(String::new, |it| format!(", node {it}")))]
    Tree {
        tree: usize,
        node: Option<usize>,
        fault: TreeFault,
    },
}

#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum FeatureFault {
    #[error("is not in the feature set")]
    Unknown,
    #[error("is a text, and a model reads numbers and bools")]
    Text,
    #[error("is named twice")]
    Twice,
}

#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum TreeFault {
    #[error("its arrays are not all of one length, at least 1")]
    Lengths,
    #[error("it asks for a feature that the model does not name")]
    Feature,
    #[error("a threshold or a value is not finite, or beyond {VALUE_MAX:e}")]
    NotFinite,
    #[error("a child does not stand behind its parent, or beyond the end")]
    Child,
    #[error("it is no node's child, or more than one's")]
    Parents,
    #[error("it is deeper than {DEPTH_MAX}")]
    Deep,
}

impl Model {
    /// Compiles the JSON text against the feature set that it reads.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn compile(text: &str, set: &FeatureSet) -> Result<Model, CompileError> {
        let trees: Trees = serde_json::from_str(text).map_err(|cause| CompileError::Json {
            line: cause.line(),
            column: cause.column(),
            cause: cause.to_string(),
        })?;
        Model::of(&trees, set)
    }

    /// # Errors
    /// The first thing that is wrong.
    pub fn of(shape: &Trees, set: &FeatureSet) -> Result<Model, CompileError> {
        if shape.form != FORM {
            let found = shape.form.chars().take(80).collect();
            return Err(CompileError::Form { found });
        }
        if shape.base.abs().partial_cmp(&VALUE_MAX) != Some(Ordering::Less) {
            return Err(CompileError::Base);
        }
        let n_nodes = shape.trees.iter().map(|it| it.feature.len()).sum();
        limit("trees", TREES_MAX, shape.trees.len())?;
        limit("nodes", NODES_MAX, n_nodes)?;
        limit("features", FEATURES_MAX, shape.features.len())?;
        let features = bound(&shape.features, set)?;
        let mut depths = Vec::with_capacity(shape.trees.len());
        let mut expected = shape.base;
        for (number, tree) in shape.trees.iter().enumerate() {
            let n_features = shape.features.len();
            let depth = check(tree, n_features).map_err(|(node, fault)| CompileError::Tree {
                tree: number,
                node,
                fault,
            })?;
            depths.push(depth);
            expected += tree.value[0];
        }
        let cuts = flat::cuts(shape);
        let most = cuts.iter().map(Vec::len).max().unwrap_or(0);
        limit("thresholds of one feature", CUTS_MAX, most)?;
        Ok(Model {
            features,
            base: shape.base,
            link: shape.link,
            flat: Flat::of(shape, &depths, cuts),
            expected,
        })
    }
}

fn limit(what: &'static str, max: usize, found: usize) -> Result<(), CompileError> {
    match found <= max {
        true => Ok(()),
        false => Err(CompileError::TooMany { what, max, found }),
    }
}

/// The features by their places in the set. A model without trees may name none; a walk then reads
/// no row.
fn bound(names: &[String], set: &FeatureSet) -> Result<Vec<(String, usize)>, CompileError> {
    let mut bound: Vec<(String, usize)> = Vec::with_capacity(names.len());
    for name in names {
        let found = set.features().enumerate().find(|(_, it)| it.0 == name);
        let fault = match found {
            None => Some(FeatureFault::Unknown),
            Some((_, (_, ValueType::Text))) => Some(FeatureFault::Text),
            Some(_) if bound.iter().any(|(it, _)| it == name) => Some(FeatureFault::Twice),
            Some((at, _)) => {
                bound.push((name.clone(), at));
                None
            }
        };
        if let Some(fault) = fault {
            let name = name.chars().take(80).collect();
            return Err(CompileError::Feature { name, fault });
        }
    }
    Ok(bound)
}

/// The depth of a tree whose every node but the root is one node's child.
fn check(tree: &Shape, n_features: usize) -> Result<u32, (Option<usize>, TreeFault)> {
    let n = tree.feature.len();
    let lengths = [
        tree.threshold.len(),
        tree.missing_left.len(),
        tree.left.len(),
        tree.right.len(),
        tree.value.len(),
    ];
    if n == 0 || lengths.iter().any(|it| *it != n) {
        return Err((None, TreeFault::Lengths));
    }
    let mut depths: Vec<Option<u32>> = vec![None; n];
    depths[0] = Some(0);
    let mut deepest = 0;
    for at in 0..n {
        let fault = |fault| Err((Some(at), fault));
        if !tree.threshold[at].is_finite()
            || tree.value[at].abs().partial_cmp(&VALUE_MAX) != Some(Ordering::Less)
        {
            return fault(TreeFault::NotFinite);
        }
        // Children stand behind their parent, so it was met before: else nothing leads here.
        let Some(depth) = depths[at] else {
            return fault(TreeFault::Parents);
        };
        deepest = deepest.max(depth);
        match usize::try_from(tree.feature[at]) {
            Err(_) if tree.feature[at] == -1 => continue,
            Ok(feature) if feature < n_features => {}
            _ => return fault(TreeFault::Feature),
        }
        if depth == DEPTH_MAX {
            return fault(TreeFault::Deep);
        }
        for child in [tree.left[at] as usize, tree.right[at] as usize] {
            if child <= at || child >= n {
                return fault(TreeFault::Child);
            }
            if depths[child].replace(depth + 1).is_some() {
                return Err((Some(child), TreeFault::Parents));
            }
        }
    }
    Ok(deepest)
}
