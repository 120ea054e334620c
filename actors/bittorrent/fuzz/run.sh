#!/usr/bin/env bash
# Fuzzes every target, or those that are named, for FUZZ_SECONDS each (20 if that is not set).
#
# It installs cargo-fuzz in .cache/ and needs only the stable compiler and a C++ compiler. What the
# fuzzer learns stays in corpus/, so that a later run goes on from there; what breaks a check stays in
# artifacts/. README.md says what to do then.
set -euo pipefail
cd "$(dirname "$0")"
root=../../..

if ! command -v c++ >/dev/null; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "fuzz: a C++ compiler is missing, install it (Debian: g++) and run this again" >&2
        exit 1
    fi
    apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends g++
fi
version=0.13.2
cargo_fuzz=$root/.cache/cargo-fuzz-$version/bin/cargo-fuzz
if [ ! -x "$cargo_fuzz" ]; then
    echo "fuzz: installing cargo-fuzz $version in .cache"
    cargo install --quiet --locked --root "$root/.cache/cargo-fuzz-$version" "cargo-fuzz@$version"
fi

# cargo-fuzz passes flags of which some are unstable. The stable compiler takes them so; nothing that is
# shipped is built like this. There is no sanitizer: the parsers have no unsafe code, and what can go
# wrong with them (panics, overflow, broken promises, endless loops, memory) libFuzzer sees itself.
export RUSTC_BOOTSTRAP=1 RUST_BACKTRACE=0
fuzz() {
    "$cargo_fuzz" "$1" --fuzz-dir . --sanitizer none "${@:2}"
}

# First what needs no fuzzer: the seeds are there, up to date, and hold.
cargo test --locked --quiet --target-dir target/tests

targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(sed -n 's/^name = "\([a-z0-9_]*\)"$/\1/p' Cargo.toml)
fuzz build 2>&1

# An input is at most 4 KiB, so nothing may take much memory or time for it.
limits=(-timeout=5 -malloc_limit_mb=64 -rss_limit_mb=1024)
broken=()
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for target in "${targets[@]}"; do
    mkdir -p "corpus/$target"
    if fuzz run "$target" "corpus/$target" "seeds/$target" -- "${limits[@]}" \
        -max_total_time="${FUZZ_SECONDS:-20}" >"$log" 2>&1; then
        echo "fuzz: $target: $(sed -n 's/.*\(DONE.*\)/\1/p' "$log" | tail -n 1)"
    else
        broken+=("$target")
        grep -v '^#' "$log" | tail -n 40
        echo "fuzz: $target: broken"
    fi
done
[ ${#broken[@]} -eq 0 ] || echo "fuzz: broken targets: ${broken[*]}" >&2
[ ${#broken[@]} -eq 0 ]
