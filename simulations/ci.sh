#!/usr/bin/env bash
# What CI runs of the simulations: every scenario for a few seeds, each seed in two processes whose
# traces must be equal byte for byte; then that mistakes which are put in on purpose are found.
#
#   simulations/ci.sh            2 seeds of each scenario, twice each
#   SEEDS=50 simulations/ci.sh   more of them
set -euo pipefail
cd "$(dirname "$0")/.."

seeds=${SEEDS:-2}
cargo build --release --locked -p simulations
sim=target/release/torrentedge-sim
passed=0
failed=0
for scenario in $("$sim" list | awk '{ print $1 }'); do
    count=$seeds
    # A thousand hosts take seconds, not tenths of one.
    [ "$scenario" != flash-crowd-1000 ] || count=1
    if "$sim" run "$scenario" --seeds "$count" --twice; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
done
echo "test result: simulations. $passed passed; $failed failed"
cargo test --locked -p simulations --features seeded-bugs --test seeded_bugs
[ "$failed" -eq 0 ]
