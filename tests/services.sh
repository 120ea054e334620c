#!/usr/bin/env bash
# Real services for the tests, on this machine's loopback only.
#
#   tests/services.sh up SERVICE... [--sync-on-commit]   fetch what is missing, start, wait until ready
#   tests/services.sh down|status|wipe [SERVICE...]      stop; say what runs; stop and delete the data
#
#   kafka    one broker of Apache Kafka (with Java)
#   kafka3   three brokers
#   mongo    SecantusDB, which speaks MongoDB's protocol; with --sync-on-commit every commit waits for the disk
#
# `up` prints what a caller can evaluate, and nothing else, on standard output:
#
#   vars=$(tests/services.sh up kafka mongo) && export $vars
#   KAFKA_BROKERS=127.0.0.1:19092      of kafka or kafka3, whichever was named last
#   MONGODB_URI=mongodb://127.0.0.1:27117/?directConnection=true
#
# All that is fetched, written or logged is in .cache/services/. A service that is up stays as it is; a broker that
# died is started again. Ports come from KAFKA_PORT (19092, its controller 10 above), KAFKA3_PORT (19192 to 19194)
# and MONGO_PORT (27117). Only processes whose ids this script wrote down are ever stopped.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD/.cache/services
run=$root/run
MONGO_PORT=${MONGO_PORT:-27117}

# Seconds until a service has to be ready, and until one that was asked to stop is killed.
READY_WITHIN=120
STOP_WITHIN=20
# Between two looks at whether it is so.
POLL=0.1

say() { echo "services: $*" >&2; }
fail() {
    say "$*"
    exit 1
}

# --- processes -------------------------------------------------------------------------------------------

# When a process was started, in ticks since boot: with its id, nobody else's process is taken for ours.
started_at() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # The name, in brackets, may have blanks.
    stat=${stat##*) }
    # shellcheck disable=SC2086  # its words are the fields from the third on
    set -- $stat
    [ "$1" != Z ] || return 1
    echo "${20}"
}

# The id of the named process while it runs.
pid_of() {
    local pid ticks
    read -r pid ticks 2>/dev/null <"$run/$1.pid" || return 1
    [ "$(started_at "$pid")" = "$ticks" ] || return 1
    echo "$pid"
}

is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# launch NAME PORT COMMAND...: starts it apart from this terminal; its output goes to the log.
launch() {
    local name=$1 port=$2
    shift 2
    ! is_open "$port" || fail "port $port, for $name, is taken by another program"
    mkdir -p "$run" "$root/log"
    setsid "$@" </dev/null >"$root/log/$name.log" 2>&1 9>&- &
    echo "$! $(started_at $!)" >"$run/$name.tmp"
    mv "$run/$name.tmp" "$run/$name.pid"
}

show_log() { tail -n 30 "$root/log/$1.log" | sed "s/^/  $1: /" >&2; }

# await NAME CONDITION...: until the condition holds; not longer than the process lives or READY_WITHIN.
await() {
    local name=$1 until=$((SECONDS + READY_WITHIN))
    shift
    until "$@"; do
        if ! pid_of "$name" >/dev/null; then
            show_log "$name"
            fail "$name ended before it was ready"
        fi
        if [ "$SECONDS" -ge "$until" ]; then
            show_log "$name"
            fail "$name was not ready within $READY_WITHIN s"
        fi
        sleep "$POLL"
    done
}

# Stops the named processes together: asked first, killed after STOP_WITHIN.
stop() {
    local name pid until=$((SECONDS + STOP_WITHIN))
    for name in "$@"; do
        pid=$(pid_of "$name") && kill -TERM "$pid" || true
    done
    for name in "$@"; do
        while pid=$(pid_of "$name"); do
            if [ "$SECONDS" -ge "$until" ]; then
                say "$name did not stop within $STOP_WITHIN s and is killed"
                kill -KILL "$pid" || true
                # It may have been writing it.
                rm -f "$archive.new"
            fi
            sleep "$POLL"
        done
        rm -f "$run/$name.pid"
    done
}

# --- mongo -----------------------------------------------------------------------------------------------

fetch_mongo() {
    local venv=$root/secantus stamp
    stamp=$(sha256sum <tests/services/requirements.txt)
    [ "$(cat "$venv/stamp" 2>/dev/null)" != "$stamp" ] || return 0
    say "installing SecantusDB in .cache/services/secantus"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/services/requirements.txt >&2
    echo "$stamp" >"$venv/stamp"
}

up_mongo() {
    local mode="sync_on_commit=$sync_on_commit" options=()
    if pid_of mongo >/dev/null; then
        [ "$(cat "$run/mongo.mode")" = "$mode" ] ||
            fail "mongo is up with $(cat "$run/mongo.mode"); take it down first"
    else
        fetch_mongo
        [ "$sync_on_commit" = no ] || options+=(--sync-on-commit)
        mkdir -p "$root/data/mongo" "$run"
        echo "$mode" >"$run/mongo.mode"
        echo "$MONGO_PORT" >"$run/mongo.port"
        launch mongo "$MONGO_PORT" "$root/secantus/bin/secantusd-py" --host 127.0.0.1 --port "$MONGO_PORT" \
            --storage-path "$root/data/mongo" --cache-size 256M --log-level WARNING "${options[@]}"
    fi
    await mongo is_open "$(cat "$run/mongo.port")"
    echo "MONGODB_URI=mongodb://127.0.0.1:$(cat "$run/mongo.port")/?directConnection=true"
}

# shellcheck source=tests/services/kafka.sh
. tests/services/kafka.sh

# --- commands --------------------------------------------------------------------------------------------

# The processes of a service.
processes() {
    case $1 in
        kafka) echo kafka-1 ;;
        kafka3) echo kafka3-1 kafka3-2 kafka3-3 ;;
        mongo) echo mongo ;;
    esac
}

status() {
    local name pid
    for name in $(processes "$1"); do
        if pid=$(pid_of "$name"); then echo "$name up, pid $pid"; else echo "$name down"; fi
    done
}

all=(kafka kafka3 mongo)
sync_on_commit=no
verb=${1:-}
shift || true
services=()
for word in "$@"; do
    case $word in
        --sync-on-commit) sync_on_commit=yes ;;
        *) [[ " ${all[*]} " == *" $word "* ]] && services+=("$word") || fail "no service $word: ${all[*]}" ;;
    esac
done

mkdir -p "$root"
# One caller at a time; what is started does not inherit the lock.
exec 9>"$root/lock"
flock -w 600 9 || fail "another tests/services.sh has been at it for 10 minutes"

case $verb in
    up)
        [ ${#services[@]} -gt 0 ] || fail "which? ${all[*]}"
        for service in "${services[@]}"; do "up_$service"; done
        ;;
    down | status | wipe)
        [ ${#services[@]} -gt 0 ] || services=("${all[@]}")
        for service in "${services[@]}"; do
            if [ "$verb" = status ]; then
                status "$service"
                continue
            fi
            # shellcheck disable=SC2046  # one word a process
            stop $(processes "$service")
            keep_classes
            rm -f "$run/$service".{mode,port}
            [ "$verb" = down ] || rm -rf "$root/data/$service"
        done
        ;;
    *) fail "up, down, status or wipe; see the head of tests/services.sh" ;;
esac
