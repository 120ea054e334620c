#!/usr/bin/env bash
# What `make run` does: builds TorrentEdge, proves it on real bytes, and serves.
#
#   deploy/run.sh           proof, then `torrentedge serve` until Ctrl-C
#   deploy/run.sh SOURCE    downloads a .torrent file, magnet link or http(s) URL to $OUT (downloads)
#
# With RUN_ONCE=1, or without a terminal, the server is only asked for its health and stopped.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly wait_s=30
work=
server=
seed=

stop() {
    # Only what this script started, by its process id.
    for pid in $seed $server; do
        kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
    done
    [ -z "$work" ] || rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM

fail() {
    echo "run: $*" >&2
    exit 1
}

listens() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# The first free port from $1 up.
free_port() {
    local port
    for ((port = $1; port < $1 + 100; port++)); do
        listens "$port" || {
            echo "$port"
            return
        }
    done
    fail "no free port from $1 to $((port - 1))"
}

# Waits until process $1 listens on port $2, or shows file $3 and fails.
wait_listening() {
    local deadline=$((SECONDS + wait_s))
    until listens "$2"; do
        kill -0 "$1" 2>/dev/null || { cat "$3" >&2; fail "it ended before it listened"; }
        [ $SECONDS -lt $deadline ] || { cat "$3" >&2; fail "it does not listen after $wait_s s"; }
        sleep 0.1
    done
}

digests() {
    (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
}

echo "==> Building (some minutes the first time)"
cargo build --release --locked -p node
program=${CARGO_TARGET_DIR:-target}/release/torrentedge
program=$(realpath "$program")

if [ $# -gt 0 ]; then
    out=${OUT:-downloads}
    echo "==> Downloading to $out"
    trap - EXIT
    exec "$program" download "$1" -o "$out"
fi

work=$(mktemp -d)
echo "==> Sample data: 43 MiB in four files"
mkdir -p "$work/sample/inner"
head -c 33554432 /dev/urandom >"$work/sample/large.bin"
head -c 11534337 /dev/urandom >"$work/sample/inner/odd length.bin"
printf 'A file smaller than a block.\n' >"$work/sample/inner/small.txt"
: >"$work/sample/empty"
"$program" create "$work/sample" -o "$work/sample.torrent"
"$program" inspect "$work/sample.torrent"

echo "==> Seeding in one process, downloading in another"
local_only=(--listen-ip 127.0.0.1 --allow-private-peers --no-dht --no-lsd)
seed_port=$(free_port 42100)
"$program" seed "$work/sample.torrent" -d "$work" --port "$seed_port" "${local_only[@]}" \
    >"$work/seed.log" 2>&1 &
seed=$!
wait_listening "$seed" "$seed_port" "$work/seed.log"
"$program" download "$work/sample.torrent" -o "$work/out" --peer "127.0.0.1:$seed_port" \
    --port "$(free_port $((seed_port + 1)))" "${local_only[@]}"
kill "$seed"
wait "$seed" 2>/dev/null || true
seed=

digests "$work/sample" >"$work/expected"
digests "$work/out/sample" >"$work/found"
diff "$work/expected" "$work/found" || fail "the download differs from the sample"
cat "$work/found"
echo "==> The SHA-256 of every file is the seed's."

if [ -n "${RUN_ONCE:-}" ] || [ ! -t 0 ] || [ ! -t 1 ]; then
    once=1
    # Nothing of a trial stays.
    export TORRENTEDGE__NODE__DATA_DIR=$work/data
    TORRENTEDGE__GATEWAY__LISTEN=127.0.0.1:$(free_port 8080)
    export TORRENTEDGE__GATEWAY__LISTEN
    TORRENTEDGE__ENGINE__NETWORK__LISTEN_PORT=$(free_port 6881)
    export TORRENTEDGE__ENGINE__NETWORK__LISTEN_PORT
    export TORRENTEDGE__ENGINE__NETWORK__LISTEN_IP=127.0.0.1
    http=${TORRENTEDGE__GATEWAY__LISTEN}
else
    once=
    http=127.0.0.1:8080
fi
echo "==> Serving on http://$http"
if [ -z "$once" ]; then
    cat <<NEXT
Next, in another terminal:
  curl http://$http/healthz
  curl -F torrent=@FILE.torrent http://$http/api/v1/torrents     add a torrent
  curl http://$http/api/v1/torrents                              list torrents
  $program --help
Ctrl-C stops it; torrents are still there at the next start.
NEXT
    rm -rf "$work"
    trap - EXIT INT TERM
    exec "$program" serve
fi
"$program" serve >"$work/serve.log" 2>&1 &
server=$!
wait_listening "$server" "${http##*:}" "$work/serve.log"
exec 3<>"/dev/tcp/127.0.0.1/${http##*:}"
printf 'GET /healthz HTTP/1.0\r\nHost: %s\r\n\r\n' "$http" >&3
answer=$(head -n 1 <&3)
exec 3>&-
case $answer in
    "HTTP/1."?" 200"*) echo "==> It is healthy: $answer" ;;
    *) cat "$work/serve.log" >&2; fail "it is not healthy: $answer" ;;
esac
kill "$server"
wait "$server" || fail "it did not end well"
server=
echo "==> Done."
