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

# Run the tests, all or those whose name holds a word: `just test lease`. Random cases are the same ones each time, but
# for another PROPTEST_RNG_SEED; `just properties` draws new ones
test *words:
    PROPTEST_RNG_SEED="${PROPTEST_RNG_SEED:-1}" cargo test {{ cargo_options }} --no-fail-fast -- {{ words }}

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

# A storm from a seed: `just storm actions|kills|duplicates|shuffle|mismatch|sends|sends-managed|processes|year|flips --size N [--payments M] [--seed S]`;
# docs/testing.md says what a size counts and what must hold
storm kind *options:
    #!/usr/bin/env bash
    set -euo pipefail
    binary=storm test="{{ kind }}"
    case "{{ kind }}" in actions | kills | duplicates | shuffle | mismatch | sends | processes) ;;
        flips) binary=rtdl test=flips::flips ;; # In process, of small artefacts.
        sends-managed) test=sends_managed ;;
        year) binary=ig test=year::year ;; # In process: its clock is the test's.
        *) echo "there are storms of actions, kills, duplicates, shuffle, mismatch, sends, sends-managed, processes, year, flips; none of {{ kind }}" >&2; exit 2 ;;
    esac
    set -- {{ options }}
    while [ $# -gt 0 ]; do
        case "$1" in
            --size) export FRAUDPLAT_STORM_SIZE="$2" ;;
            --payments) export FRAUDPLAT_STORM_PAYMENTS="$2" ;;
            --seed) export FRAUDPLAT_STORM_SEED="$2" ;;
            *) echo "--size N, --payments M, --seed S; not $1" >&2; exit 2 ;;
        esac
        shift 2
    done
    cargo test {{ cargo_options }} --test "$binary" -- --exact "$test" --nocapture

# Make a golden history that is missing, by its recipe: `just golden-history late`
golden-history name:
    UPDATE_HISTORIES={{ name }} \
    cargo test {{ cargo_options }} --test rtdl -- --exact histories::a_missing_history_is_made_on_demand

# The gate's protocol, every interleaving of a small world with so many faults: `just model 2`
model faults="1":
    FRAUDPLAT_MODEL_FAULTS={{ faults }} \
    cargo test {{ cargo_options }} --test admission_model -- --nocapture --test-threads 1

# The port against its OpenAPI document, so many requests of each kind at each operation
schemathesis examples="1000":
    FRAUDPLAT_SCHEMATHESIS_EXAMPLES={{ examples }} \
    cargo test {{ cargo_options }} --test e2e -- schemathesis --nocapture

# The features of so many random streams against a naive reference: `just properties 100000`
properties cases="100000":
    FRAUDPLAT_PROPERTY_CASES={{ cases }} \
    cargo test {{ cargo_options }} --test engine_reference -- --nocapture

# Ten planted bugs: a storm or a property test catches each; prints which, and by what
planted:
    cargo test {{ cargo_options }} --features planted-bugs --test planted --test default_build -- --nocapture

# Kinesis, S3 and Postgres servers on this machine, without Docker: then `--profile local_parity`
parity-up *dir:
    bash scripts/parity up {{ dir }}

# Every role a process of its own on such servers: kills, pauses, takeovers
parity-test:
    cargo test {{ cargo_options }} --test e2e -- parity

# Stop them; the data stays
parity-down *dir:
    bash scripts/parity down {{ dir }}

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
    # Built with the tests: alone, the executable's dependencies have other features and are built anew.
    cargo test {{ cargo_options }} --no-run --test e2e
    "$CARGO_TARGET_DIR/ci/fraudplat" --data-dir "$dir/data" demo --json --payments 2000

# Check bans, licences and sources with cargo-deny (compiled on first use; `just test` checks the same file without it)
deny:
    #!/usr/bin/env bash
    source scripts/lib.sh
    need_cargo_deny
    cargo deny --locked check bans licenses sources
