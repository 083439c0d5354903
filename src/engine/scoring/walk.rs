//! From a row to leaves. Eight trees are walked side by side: their loads do not wait for one
//! another, which is what a single walk spends its time on.

use crate::engine::scoring::{Model, Node};

const LANES: usize = 8;

impl Node {
    /// The child that a row goes to; of a leaf, itself.
    #[inline]
    fn next(&self, row: &[f64]) -> usize {
        let value = row[usize::from(self.feature)];
        // NaN is never above a threshold.
        let right = (value > self.threshold) | (value.is_nan() & self.missing_right);
        self.left as usize + usize::from(right)
    }
}

/// Base plus leaves, in order of the trees.
pub(super) fn raw(model: &Model, row: &[f64]) -> f64 {
    let mut sum = model.base;
    in_lanes(model, row, |leaf| sum += model.values[leaf]);
    sum
}

/// Meets the leaf of every tree, in order.
fn in_lanes(model: &Model, row: &[f64], mut met: impl FnMut(usize)) {
    let nodes = model.nodes.as_slice();
    let mut groups = model.trees.chunks_exact(LANES);
    for group in &mut groups {
        let mut at = [0_usize; LANES];
        let mut depth = 0;
        for (at, tree) in at.iter_mut().zip(group) {
            *at = tree.root as usize;
            depth = depth.max(tree.depth);
        }
        for _ in 0..depth {
            for at in &mut at {
                *at = nodes[*at].next(row);
            }
        }
        at.into_iter().for_each(&mut met);
    }
    for tree in groups.remainder() {
        let mut at = tree.root as usize;
        for _ in 0..tree.depth {
            at = nodes[at].next(row);
        }
        met(at);
    }
}

/// As [`raw`], with the steps of every path credited to the features that were asked.
pub(super) fn explained(model: &Model, row: &[f64], contributions: &mut [f64]) -> f64 {
    let (nodes, values) = (model.nodes.as_slice(), model.values.as_slice());
    let mut sum = model.base;
    for tree in &model.trees {
        let mut at = tree.root as usize;
        let mut node = &nodes[at];
        let mut before = values[at];
        while !node.is_leaf {
            at = node.next(row);
            let value = values[at];
            contributions[usize::from(node.feature)] += value - before;
            before = value;
            node = &nodes[at];
        }
        sum += before;
    }
    sum
}
