//! The executable: parse, load the profile, call the application.

use std::process::ExitCode;

/// Payments are parsed, passed between threads and dropped on another one: the system's allocator spent
/// a sixth of the loop's CPU time on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    fraudplat::app::run(std::env::args_os().collect())
}
