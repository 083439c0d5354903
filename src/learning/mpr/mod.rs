//! The registry of what decides: a folder that names the bundles in force, and the lists that policies look
//! entities up in.

pub mod directory;
pub mod folder;
pub mod lists;

pub use directory::Directory;
