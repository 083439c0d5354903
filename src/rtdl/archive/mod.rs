//! The archive's writer: every record of every stream, byte for byte, into create-once segments.
//!
//! **Invariant:** a position moves in the transaction that lists the segments it stands for, after
//! their objects are durable (L4). A crash between the two leaves an orphan object, never a gap.
//! **Invariant:** nothing is dropped: a record that cannot be read is filed as it is (L8).
//!
//! Reading is `runtime::archive`.

mod hold;
mod role;
mod writer;

pub use role::{Archive, Options};
