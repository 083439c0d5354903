//! Reads a model that LightGBM has written as text into the platform's own form.
//!
//! Its trees compare with `<=`, and its raw score is the sum of the leaves in order of the trees:
//! the imported model adds the same floats in the same order. What would give other scores
//! (categorical splits, linear leaves, several classes) is refused.

use std::collections::BTreeMap;

use crate::contracts::trees::{FORM, Link, Split, Tree, Trees};

/// Why a text is no model that can be imported.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line}: {fault}")]
pub struct ImportError {
    /// From 1; 0: of the whole.
    pub line: usize,
    pub fault: String,
}

fn error(line: usize, fault: impl Into<String>) -> ImportError {
    let fault = fault.into();
    ImportError { line, fault }
}

/// A block of `key=value` lines.
struct Block<'t> {
    line: usize,
    values: BTreeMap<&'t str, (usize, &'t str)>,
}

impl<'t> Block<'t> {
    fn get(&self, key: &str) -> Option<(usize, &'t str)> {
        self.values.get(key).copied()
    }

    fn needed(&self, key: &str) -> Result<(usize, &'t str), ImportError> {
        self.get(key)
            .ok_or_else(|| error(self.line, format!("`{key}=` is missing")))
    }

    fn list<T: std::str::FromStr>(&self, key: &str, n: usize) -> Result<Vec<T>, ImportError> {
        if n == 0 {
            return Ok(Vec::new());
        }
        let (line, text) = self.needed(key)?;
        let read: Result<Vec<T>, _> = text.split_ascii_whitespace().map(str::parse).collect();
        let list = read.map_err(|_| error(line, format!("`{key}` holds no numbers")))?;
        if list.len() != n {
            return Err(error(
                line,
                format!("`{key}` has {} entries, not {n}", list.len()),
            ));
        }
        Ok(list)
    }
}

/// Reads the text. `rename` gives the feature of the bundle for a column of the model.
///
/// # Errors
/// What cannot be read or would not give the same scores, with its line.
pub fn from_lightgbm(text: &str, rename: impl Fn(&str) -> String) -> Result<Trees, ImportError> {
    let blocks = blocks(text);
    let [head, trees @ ..] = blocks.as_slice() else {
        return Err(error(0, "there is no model"));
    };
    if !text.starts_with("tree\n") && !text.starts_with("tree\r\n") {
        return Err(error(1, "a LightGBM text model begins with `tree`"));
    }
    for key in ["num_class", "num_tree_per_iteration"] {
        if let Some((line, found)) = head.get(key).filter(|it| it.1 != "1") {
            return Err(error(line, format!("`{key}` is {found}: one class only")));
        }
    }
    let (line, objective) = head.get("objective").unwrap_or((0, "regression"));
    let mut words = objective.split_ascii_whitespace();
    let link = match words.next() {
        Some("binary")
            if words
                .clone()
                .any(|it| it.starts_with("sigmoid:") && it != "sigmoid:1") =>
        {
            return Err(error(line, "a sigmoid other than 1 is not supported"));
        }
        Some("binary" | "cross_entropy") => Link::Logistic,
        Some("regression" | "regression_l1" | "huber" | "fair") if !objective.contains("sqrt") => {
            Link::Identity
        }
        _ => {
            let fault = format!("the objective `{objective}` is not supported");
            return Err(error(line, fault));
        }
    };
    let (_, names) = head.needed("feature_names")?;
    let features: Vec<String> = names.split_ascii_whitespace().map(rename).collect();
    let trees = trees.iter().map(tree).collect::<Result<Vec<_>, _>>()?;
    // A forest is averaged; its leaves would have to be divided, which is another sum.
    if text.lines().any(|it| it.trim() == "average_output") {
        return Err(error(
            0,
            "averaged output (a random forest) is not supported",
        ));
    }
    Ok(Trees {
        form: FORM.to_owned(),
        features,
        base: 0.0,
        link,
        split: Split::LessEqual,
        trees,
    })
}

/// The head and one block a tree, up to `end of trees`.
fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = vec![Block {
        line: 1,
        values: BTreeMap::new(),
    }];
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line == "end of trees" {
            break;
        }
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        if key == "Tree" {
            blocks.push(Block {
                line: at + 1,
                values: BTreeMap::new(),
            });
        }
        if let Some(block) = blocks.last_mut() {
            block.values.insert(key, (at + 1, value));
        }
    }
    blocks
}

/// A tree of `n` leaves has `n - 1` inner nodes; a child below 0 is the leaf `-child - 1`.
fn tree(block: &Block<'_>) -> Result<Tree, ImportError> {
    let (line, leaves) = block.needed("num_leaves")?;
    let n: usize = leaves
        .parse()
        .ok()
        .filter(|it| (1..=1_000_000).contains(it))
        .ok_or_else(|| error(line, "`num_leaves` is no count"))?;
    for (key, what) in [
        ("num_cat", "categorical splits"),
        ("is_linear", "linear leaves"),
    ] {
        if let Some((line, _)) = block.get(key).filter(|it| it.1 != "0") {
            return Err(error(line, format!("{what} are not supported")));
        }
    }
    let inner = n - 1;
    let read = Read {
        line,
        feature: block.list("split_feature", inner)?,
        threshold: block
            .list("threshold", inner)?
            .into_iter()
            .map(finite)
            .collect(),
        decision: block.list("decision_type", inner)?,
        left: block.list("left_child", inner)?,
        right: block.list("right_child", inner)?,
        leaf: block.list("leaf_value", n)?,
        leaf_rows: match block.get("leaf_count") {
            Some(_) if inner > 0 => block.list("leaf_count", n)?,
            _ => vec![1.0; n],
        },
    };
    read.flatten()
}

/// A split on what is missing alone has all numbers on its left: LightGBM writes `inf`, and the largest number
/// says the same of every finite value.
fn finite(threshold: f64) -> f64 {
    if threshold == f64::INFINITY {
        f64::MAX
    } else {
        threshold
    }
}

struct Read {
    line: usize,
    feature: Vec<i32>,
    threshold: Vec<f64>,
    decision: Vec<u32>,
    left: Vec<i64>,
    right: Vec<i64>,
    leaf: Vec<f64>,
    leaf_rows: Vec<f64>,
}

/// Bits of `decision_type`.
const CATEGORICAL: u32 = 1;
const DEFAULT_LEFT: u32 = 2;

impl Read {
    /// Parents before children; the value of an inner node is the mean of its leaves by rows.
    fn flatten(&self) -> Result<Tree, ImportError> {
        let mut tree = Tree {
            feature: Vec::new(),
            threshold: Vec::new(),
            missing_left: Vec::new(),
            left: Vec::new(),
            right: Vec::new(),
            value: Vec::new(),
        };
        let mut rows = Vec::new();
        let root = if self.feature.is_empty() { -1 } else { 0 };
        let mut queue = vec![root];
        let mut next = 0;
        while let Some(&node) = queue.get(next) {
            next += 1;
            if next > 2 * self.leaf.len() {
                return Err(error(self.line, "its nodes go round in a circle"));
            }
            self.push(&mut tree, &mut rows, &mut queue, node)?;
        }
        for at in (0..tree.feature.len()).rev() {
            if tree.feature[at] >= 0 {
                let (l, r) = (tree.left[at] as usize, tree.right[at] as usize);
                rows[at] = rows[l] + rows[r];
                let mean = (tree.value[l] * rows[l] + tree.value[r] * rows[r]) / rows[at];
                // Leaves that no row came to weigh alike.
                tree.value[at] = match mean.is_finite() {
                    true => mean,
                    false => (tree.value[l] + tree.value[r]) / 2.0,
                };
            }
        }
        Ok(tree)
    }

    fn push(
        &self,
        tree: &mut Tree,
        rows: &mut Vec<f64>,
        queue: &mut Vec<i64>,
        node: i64,
    ) -> Result<(), ImportError> {
        let beyond = || error(self.line, "a child is beyond the tree");
        let number = |it: usize| u32::try_from(it).map_err(|_| beyond());
        if node < 0 {
            let leaf = usize::try_from(-node - 1).map_err(|_| beyond())?;
            tree.feature.push(-1);
            tree.threshold.push(0.0);
            tree.missing_left.push(true);
            tree.left.push(0);
            tree.right.push(0);
            tree.value.push(*self.leaf.get(leaf).ok_or_else(beyond)?);
            rows.push(self.leaf_rows[leaf]);
            return Ok(());
        }
        let at = usize::try_from(node).map_err(|_| beyond())?;
        let threshold = *self.threshold.get(at).ok_or_else(beyond)?;
        tree.feature.push(self.feature[at]);
        tree.threshold.push(threshold);
        tree.missing_left.push(self.missing_left(at, threshold)?);
        tree.left.push(number(queue.len())?);
        tree.right.push(number(queue.len() + 1)?);
        tree.value.push(0.0);
        rows.push(0.0);
        queue.extend([self.left[at], self.right[at]]);
        Ok(())
    }

    /// Where a missing value goes. Bits 2 and 3 say what counts as missing: nothing (NaN is read as
    /// zero), zero, or NaN.
    fn missing_left(&self, at: usize, threshold: f64) -> Result<bool, ImportError> {
        let decision = self.decision[at];
        if decision & CATEGORICAL != 0 {
            return Err(error(self.line, "categorical splits are not supported"));
        }
        match (decision >> 2) & 3 {
            0 => Ok(0.0 <= threshold),
            2 => Ok(decision & DEFAULT_LEFT != 0),
            _ => Err(error(self.line, "zero as missing is not supported")),
        }
    }
}
