#!/usr/bin/env bash
# Installs what the tests need: Debian packages where it may, other clients' bindings in .cache/.
#
#   tests/setup.sh build    what compiling needs (C and C++ compilers, OpenSSL)
#   tests/setup.sh          that, and what the tests need
#
# What is there already is left alone, so a second run takes a moment. Nothing that it installs is
# started, and everything it pins it pins exactly.
set -euo pipefail
cd "$(dirname "$0")/.."

# A program that shows a package to be there, then the package.
build_needs=("cc gcc" "c++ g++" "ld binutils" "make make" "pkg-config pkg-config")
test_needs=(
    "/usr/bin/aria2c aria2" "/usr/bin/transmission-daemon transmission-daemon"
    "/usr/bin/opentracker opentracker" "ip iproute2" "setpriv util-linux" "python3 python3"
    "java openjdk-17-jre-headless" "mvn maven" "flock util-linux"
)

fail() {
    echo "setup: $*" >&2
    exit 1
}

packages=()
need() {
    command -v "$1" >/dev/null || packages+=("$2")
}
for pair in "${build_needs[@]}"; do
    # shellcheck disable=SC2086  # a pair is two words
    need $pair
done
[ -e /usr/include/stdio.h ] || packages+=(libc6-dev)
[ -e /usr/include/openssl/ssl.h ] || packages+=(libssl-dev)
if [ "${1:-}" != build ]; then
    for pair in "${test_needs[@]}"; do
        # shellcheck disable=SC2086  # a pair is two words
        need $pair
    done
    python3 -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)
fi

# Debian starts a service when it is installed unless this file forbids it; and at every boot after
# that, unless it is disabled. The tests start their own, in networks of their own.
install_packages() {
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q -o DPkg::Lock::Timeout=600 update
    apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends "${packages[@]}"
    local name
    for name in "${packages[@]}"; do
        case $name in
            opentracker | transmission-daemon)
                deb-systemd-helper disable "$name.service" >/dev/null 2>&1 || true
                ;;
        esac
    done
}
if [ ${#packages[@]} -gt 0 ]; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        fail "these Debian packages are missing, install them and run this again: ${packages[*]}"
    fi
    echo "setup: installing ${packages[*]}"
    install_packages
fi

command -v cargo >/dev/null || fail "Rust 1.91 or later is missing: install it with rustup"
[ "${1:-}" != build ] || exit 0
command -v npm >/dev/null || fail "Node.js 16 or later with npm is missing"

# The interop figures and findings are about these versions.
transmission-daemon --version 2>&1 | grep -q ' 3\.00' ||
    fail "transmission-daemon 3.00 is needed, found: $(transmission-daemon --version 2>&1)"
aria2c --version | grep -q '^aria2 version 1\.36\.0$' ||
    fail "aria2 1.36.0 is needed, found: $(aria2c --version | head -n 1)"

harness=tests/harness
cache=.cache/interop
stamp=$(cat "$harness/requirements.txt" "$harness/webtorrent_peer/package-lock.json" | sha256sum)
if [ "$(cat "$cache/stamp" 2>/dev/null)" != "$stamp" ]; then
    echo "setup: installing libtorrent and webtorrent in $cache"
    rm -rf "$cache"
    mkdir -p "$cache/node"
    python3 -m venv "$cache/venv"
    "$cache/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
        -r "$harness/requirements.txt"
    cp "$harness"/webtorrent_peer/package*.json "$cache/node/"
    # Its native parts are for uTP and WebRTC, which the tests do without.
    npm --prefix "$cache/node" ci --omit=optional --ignore-scripts --no-audit --no-fund --silent
    echo "$stamp" >"$cache/stamp"
fi
echo "setup: ready"
