//! A new migration file must rebuild the executable that embeds it; nothing else is built here.
#![expect(clippy::print_stdout, reason = "cargo reads a build script's stdout")]

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
