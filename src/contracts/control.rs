//! What travels on the control bus: READY, governance facts, anomalies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::fact::Fact;
use crate::contracts::ready::Ready;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE", deny_unknown_fields)]
pub enum ControlMessage {
    Ready { ready: Box<Ready> },
    Fact { fact: Box<Fact> },
}

impl ControlMessage {
    /// The bytes that go on the bus.
    ///
    /// # Panics
    /// Never: every field serialises.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a control message is plain JSON")
    }
}
