# The tasks of the repository. `just` lists them; `scripts/test` installs what they need and runs `just ci`.

set shell := ["bash", "-euo", "pipefail", "-c"]

# Outside the clone, as in scripts/lib.sh, so that a fresh clone finds its dependencies built.
export CARGO_TARGET_DIR := env("CARGO_TARGET_DIR", cache_directory() / "fraudplat/target")

# One profile for checks, tests and the demo: the dependencies are built once.
cargo_options := "--profile ci --locked"

[private]
default:
    @just --list --unsorted

# Everything that must hold before a change lands
ci: (fmt "--check") lint doc architecture test demo-short

# Run the tests, all or those whose name holds a word: `just test lease`
test *words:
    cargo test {{ cargo_options }} --no-fail-fast -- {{ words }}

# Type-check everything: the quickest answer while editing
check:
    cargo check {{ cargo_options }} --all-targets

# Clippy over every target, warnings denied
lint:
    cargo clippy {{ cargo_options }} --all-targets -- -D warnings

# Format the sources, or check them: `just fmt --check`
fmt *options:
    cargo fmt --all {{ options }}

# Who may name whom among the rooms of src/
architecture:
    cargo test {{ cargo_options }} --test architecture

# Build the documentation, private items too; a broken link is an error
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc {{ cargo_options }} --no-deps --document-private-items

# Measure on this machine, optimised: `just bench ingest`
bench *options:
    cargo run --release --locked -- bench {{ options }}

# The tests named storm, at a size of your choice: `just storm 50`, or `just storm 50 100000` with that
# many payments (1,000 a kill otherwise); again with the seed that it printed: `just storm 50 100000 SEED`
storm size payments="" seed="":
    FRAUDPLAT_STORM_SIZE={{ size }} FRAUDPLAT_STORM_PAYMENTS={{ payments }} FRAUDPLAT_STORM_SEED={{ seed }} \
    cargo test {{ cargo_options }} -- --nocapture storm

# Show the whole loop: `just demo --help` lists the options
demo *options:
    bash scripts/demo {{ options }}

# The demo as CI runs it: small, machine-readable, in a data directory that is removed afterwards
demo-short:
    #!/usr/bin/env bash
    set -euo pipefail
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    chmod 755 "$dir" # as root, Postgres runs as another user who must get through
    cargo build {{ cargo_options }} --bin fraudplat
    "$CARGO_TARGET_DIR/ci/fraudplat" --data-dir "$dir/data" demo --json --payments 2000

# Check bans, licences and sources with cargo-deny (compiled on first use; `just test` checks the same file without it)
deny:
    #!/usr/bin/env bash
    source scripts/lib.sh
    need_cargo_deny
    cargo deny --locked check bans licenses sources
