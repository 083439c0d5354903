//! A model's trees as a walk reads them: a node in eight bytes, level by level, and the leaves of the last
//! level behind all nodes, since no walk reads them as nodes.
//!
//! A node does not hold its threshold but the threshold's place among those of its feature; a row's value is
//! ranked once among them. `value > threshold` and `rank > place` say the same, to the bit.

use std::collections::VecDeque;

use crate::contracts::trees::{Split, Tree as Shape, Trees};

/// Trees walked side by side: their loads do not wait for one another.
pub(super) const LANES: usize = 16;
/// Distinct thresholds of one feature: what 16 bits can rank, with one to spare for what never goes right.
pub const CUTS_MAX: usize = u16::MAX as usize;
/// Features: a node asks for one in 15 bits.
pub const FEATURES_MAX: usize = (u16::MAX / 2) as usize;

/// Of a leaf that stands among the nodes: no rank is above it.
const NEVER: u16 = u16::MAX;
/// Marks a place behind the nodes until it is known how many nodes there are.
const BEHIND: u32 = 1 << 31;

/// A node or a leaf has a place: the nodes in order, then the leaves of the last levels.
#[derive(Debug, Clone)]
pub(super) struct Flat {
    /// Of each feature its distinct thresholds, in order.
    pub(super) cuts: Vec<Vec<f64>>,
    pub(super) nodes: Vec<Node>,
    /// Of each place: the expected value there.
    pub(super) values: Vec<f64>,
    /// Of each place: by how much it differs from the place before it on its path.
    pub(super) steps: Vec<f64>,
    pub(super) groups: Vec<Group>,
}

/// A node's children stand side by side. A leaf above its group's last level is its own left child.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) left: u32,
    pub(super) cut: u16,
    /// Twice the feature, and one if a missing value goes right: an index of [`crate::engine::scoring::walk`]'s ranks.
    pub(super) asks: u16,
}

/// Trees that are walked together, as many levels as the deepest has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    /// Behind the last tree its root again: it is walked in vain, and counts nothing.
    pub(super) roots: [u32; LANES],
    pub(super) trees: usize,
    pub(super) depth: u32,
}

/// The thresholds of each feature as "at most", in order, each once.
pub(super) fn cuts(shape: &Trees) -> Vec<Vec<f64>> {
    let mut cuts = vec![Vec::new(); shape.features.len()];
    for tree in &shape.trees {
        for (feature, threshold) in tree.feature.iter().zip(&tree.threshold) {
            if let Some(cuts) = place(*feature).and_then(|it| cuts.get_mut(it)) {
                cuts.push(at_most(*threshold, shape.split));
            }
        }
    }
    for cuts in &mut cuts {
        cuts.sort_unstable_by(f64::total_cmp);
        cuts.dedup();
    }
    cuts
}

/// Of a feature's number; none of a leaf.
fn place(feature: i32) -> Option<usize> {
    usize::try_from(feature).ok()
}

fn at_most(threshold: f64, split: Split) -> f64 {
    match split {
        Split::LessEqual => threshold,
        // Below a float is at most the float before it.
        Split::Less => threshold.next_down(),
    }
}

impl Flat {
    /// Lays checked trees out; `depths` has the depth of each.
    pub(super) fn of(shape: &Trees, depths: &[u32], cuts: Vec<Vec<f64>>) -> Flat {
        let mut laying = Laying {
            split: shape.split,
            cuts,
            nodes: Vec::new(),
            above: Places::default(),
            behind: Places::default(),
        };
        let mut groups = Vec::with_capacity(shape.trees.len().div_ceil(LANES));
        for (trees, depths) in shape.trees.chunks(LANES).zip(depths.chunks(LANES)) {
            let depth = depths.iter().copied().max().unwrap_or(0);
            let mut roots = [0; LANES];
            for (root, tree) in roots.iter_mut().zip(trees) {
                *root = laying.push(tree, depth);
            }
            let last = roots[trees.len() - 1];
            roots[trees.len()..].fill(last);
            groups.push(Group {
                roots,
                trees: trees.len(),
                depth,
            });
        }
        laying.end(groups)
    }
}

#[derive(Default)]
struct Places {
    values: Vec<f64>,
    steps: Vec<f64>,
}

struct Laying {
    split: Split,
    cuts: Vec<Vec<f64>>,
    nodes: Vec<Node>,
    above: Places,
    behind: Places,
}

impl Laying {
    /// Lays a tree out breadth first, so that two children stand side by side; gives its root's place.
    fn push(&mut self, tree: &Shape, last_level: u32) -> u32 {
        let root = self.enter(tree.value[0], 0.0, last_level == 0);
        let mut queue = VecDeque::from([(0, root, 0)]);
        while let Some((from, here, level)) = queue.pop_front() {
            // Breadth first: so are all that follow.
            if level == last_level {
                break;
            }
            let Some(feature) = place(tree.feature[from]) else {
                self.nodes.push(Node {
                    left: here,
                    cut: NEVER,
                    asks: 0,
                });
                continue;
            };
            let children = [tree.left[from] as usize, tree.right[from] as usize];
            let [left, right] = children.map(|child| {
                let step = tree.value[child] - tree.value[from];
                self.enter(tree.value[child], step, level + 1 == last_level)
            });
            queue.push_back((children[0], left, level + 1));
            queue.push_back((children[1], right, level + 1));
            let cut = at_most(tree.threshold[from], self.split);
            let cut = self.cuts[feature].partition_point(|it| *it < cut);
            self.nodes.push(Node {
                left,
                cut: u16::try_from(cut).expect("a feature has at most CUTS_MAX thresholds"),
                asks: u16::try_from(2 * feature + usize::from(!tree.missing_left[from]))
                    .expect("a model has at most FEATURES_MAX features"),
            });
        }
        root
    }

    fn enter(&mut self, value: f64, step: f64, is_behind: bool) -> u32 {
        let (places, mark) = match is_behind {
            true => (&mut self.behind, BEHIND),
            false => (&mut self.above, 0),
        };
        let at = u32::try_from(places.values.len()).expect("a model has at most NODES_MAX nodes");
        places.values.push(value);
        places.steps.push(step);
        at | mark
    }

    fn end(mut self, mut groups: Vec<Group>) -> Flat {
        let n_nodes = u32::try_from(self.nodes.len()).expect("a model has at most NODES_MAX nodes");
        let lefts = self.nodes.iter_mut().map(|it| &mut it.left);
        for place in lefts.chain(groups.iter_mut().flat_map(|it| &mut it.roots)) {
            if *place & BEHIND != 0 {
                *place = n_nodes + (*place & !BEHIND);
            }
        }
        self.above.values.append(&mut self.behind.values);
        self.above.steps.append(&mut self.behind.steps);
        Flat {
            cuts: self.cuts,
            nodes: self.nodes,
            values: self.above.values,
            steps: self.above.steps,
            groups,
        }
    }
}
