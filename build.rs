//! A new migration file must rebuild the executable that embeds it; nothing else is built here.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
