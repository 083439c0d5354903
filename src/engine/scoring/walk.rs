//! From a row to leaves. Trees are walked side by side: their loads do not wait for one another, which is
//! what a single walk spends its time on.

use crate::engine::scoring::compile::DEPTH_MAX;
use crate::engine::scoring::flat::{Flat, Group, LANES, Node};

/// Ranks of up to 128 features, where no index can be out of bounds.
const FEW: usize = 256;

/// The places of the trees of a group on one level.
type Level = [u32; LANES];

/// The ranks of a row's values among their features' thresholds, twice each: a missing value is below all where
/// the node sends it left and above all where it sends it right.
trait Ranks {
    fn of(&self, asks: u16) -> u16;
}

impl Ranks for [u16; FEW] {
    #[inline]
    fn of(&self, asks: u16) -> u16 {
        self[usize::from(asks.to_le_bytes()[0])]
    }
}

impl Ranks for Vec<u16> {
    #[inline]
    fn of(&self, asks: u16) -> u16 {
        self[usize::from(asks)]
    }
}

fn rank(cuts: &[Vec<f64>], row: &[f64], ranks: &mut [u16]) {
    for ((pair, value), cuts) in ranks.chunks_exact_mut(2).zip(row).zip(cuts) {
        let below = cuts.partition_point(|it| it < value);
        let below = u16::try_from(below).expect("a feature has at most CUTS_MAX thresholds");
        let is_missing = value.is_nan();
        pair[0] = if is_missing { 0 } else { below };
        pair[1] = if is_missing { u16::MAX } else { below };
    }
}

impl Node {
    /// The child that a row goes to; of a leaf, itself.
    #[inline]
    fn next(self, ranks: &impl Ranks) -> u32 {
        self.left + u32::from(ranks.of(self.asks) > self.cut)
    }
}

/// Leaves added to the base, in order of the trees.
pub(super) fn raw(base: f64, flat: &Flat, row: &[f64]) -> f64 {
    let mut sum = base;
    let met = |group: &Group, _: &[Level], leaves: &Level| {
        for leaf in &leaves[..group.trees] {
            sum += flat.values[*leaf as usize];
        }
    };
    ranked(flat, row, &mut [], met);
    sum
}

/// As [`raw`], with the steps of every path credited to the features that were asked.
pub(super) fn explained(base: f64, flat: &Flat, row: &[f64], contributions: &mut [f64]) -> f64 {
    let mut sum = base;
    let met = |group: &Group, path: &[Level], leaves: &Level| {
        for lane in 0..group.trees {
            for level in path.windows(2) {
                let (from, to) = (level[0][lane], level[1][lane]);
                // A leaf that stands above the last level is its own child.
                if from == to {
                    break;
                }
                let feature = flat.nodes[from as usize].asks / 2;
                contributions[usize::from(feature)] += flat.steps[to as usize];
            }
            sum += flat.values[leaves[lane] as usize];
        }
    };
    let mut path = [[0; LANES]; DEPTH_MAX as usize + 1];
    ranked(flat, row, &mut path, met);
    sum
}

/// Walks a row with the ranks of its values; `met` gets each group, its path as far as `path` has room for
/// it, and its leaves, in order.
fn ranked(flat: &Flat, row: &[f64], path: &mut [Level], met: impl FnMut(&Group, &[Level], &Level)) {
    let n_ranks = 2 * row.len();
    if n_ranks <= FEW {
        let mut ranks = [0; FEW];
        rank(&flat.cuts, row, &mut ranks);
        in_lanes(flat, &ranks, path, met);
    } else {
        let mut ranks = vec![0; n_ranks];
        rank(&flat.cuts, row, &mut ranks);
        in_lanes(flat, &ranks, path, met);
    }
}

#[inline]
fn in_lanes(
    flat: &Flat,
    ranks: &impl Ranks,
    path: &mut [Level],
    mut met: impl FnMut(&Group, &[Level], &Level),
) {
    let nodes = flat.nodes.as_slice();
    for group in &flat.groups {
        let mut at = group.roots;
        let levels = path.len().min(group.depth as usize + 1);
        let mut kept = path[..levels].iter_mut();
        if let Some(level) = kept.next() {
            *level = at;
        }
        for _ in 0..group.depth {
            for at in &mut at {
                *at = nodes[*at as usize].next(ranks);
            }
            if let Some(level) = kept.next() {
                *level = at;
            }
        }
        met(group, &path[..levels], &at);
    }
}
