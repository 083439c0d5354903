//! The executable: parse, load the profile, call the application.

fn main() {}
