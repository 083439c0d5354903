//! A model at rest: a tree ensemble as flat arrays, `fraudplat/trees/v1`. What trainers and importers
//! write and the engine compiles.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const FORM: &str = "fraudplat/trees/v1";

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trees {
    /// [`FORM`].
    pub form: String,
    /// Names of features of the bundle's set: ints, floats and bools (0 and 1).
    pub features: Vec<String>,
    /// The raw score before the first tree.
    pub base: f64,
    pub link: Link,
    pub split: Split,
    pub trees: Vec<Tree>,
}

/// From the raw score to the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// `1 / (1 + exp(-raw))`.
    Logistic,
    Identity,
}

/// Which values go left at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// `value <= threshold`.
    LessEqual,
    /// `value < threshold`.
    Less,
}

/// One tree. Each array has one entry a node; node 0 is the root, and children stand behind their
/// parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    /// Which of the model's features is asked; -1: a leaf.
    pub feature: Vec<i32>,
    /// 0 in a leaf.
    pub threshold: Vec<f64>,
    /// Whether a missing value goes left.
    pub missing_left: Vec<bool>,
    /// 0 in a leaf.
    pub left: Vec<u32>,
    /// 0 in a leaf.
    pub right: Vec<u32>,
    /// What a leaf adds to the raw score; of an inner node the mean of what its leaves add, weighted
    /// by the training rows that came there. Contributions are differences of these.
    pub value: Vec<f64>,
}
