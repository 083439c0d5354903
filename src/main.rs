//! The executable: parse, load the profile, call the application.

use std::process::ExitCode;

fn main() -> ExitCode {
    fraudplat::app::run(std::env::args_os().collect())
}
