"""Gets the contenders: once, into the git-ignored cache of the tree, or from Debian as root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent.parent
CACHE = TREE / ".cache" / "bench"

LIBTORRENT = "2.1.1"
RQBIT = "9.1.0"

# Debian packages by the program that each brings.
PACKAGES = {
    "aria2c": "aria2",
    "transmission-daemon": "transmission-daemon",
    "transmission-create": "transmission-cli",
    "mktorrent": "mktorrent",
}


def venv_python() -> Path:
    """A Python that has libtorrent."""
    python = CACHE / "venv" / "bin" / "python"
    check = [str(python), "-c", f"import libtorrent as l; assert l.__version__.startswith('{LIBTORRENT}')"]
    if not python.exists() or subprocess.run(check, stderr=subprocess.DEVNULL).returncode != 0:
        _run(sys.executable, "-m", "venv", "--clear", CACHE / "venv")
        _run(python, "-m", "pip", "install", "--quiet", f"libtorrent=={LIBTORRENT}")
    return python


def debian() -> None:
    """The Debian packages that are missing."""
    missing = [package for program, package in PACKAGES.items() if not shutil.which(program)]
    if not missing:
        return
    if os.geteuid() != 0:
        sys.exit(f"The bench needs these Debian packages: apt-get install {' '.join(missing)}")
    _run("apt-get", "update", "--quiet")
    # The daemon must not be started as a service.
    _run("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *missing, RUNLEVEL="1")


def rqbit() -> Path:
    """rqbit, built by cargo (several minutes, once)."""
    program = CACHE / "rqbit" / "bin" / "rqbit"
    if not program.exists():
        build = CACHE / "rqbit-build"
        features = ["--no-default-features", "--features", "default-tls"]
        where = ["--root", CACHE / "rqbit", "--target-dir", build]
        _run("cargo", "install", "rqbit", "--version", RQBIT, "--locked", *features, *where)
        shutil.rmtree(build, ignore_errors=True)
    return program


def torrentedge() -> Path:
    """This tree's program."""
    _run("cargo", "build", "--release", "--quiet", "-p", "node")
    target = Path(os.environ.get("CARGO_TARGET_DIR", TREE / "target"))
    return target / "release" / "torrentedge"


def _run(*command, **env: str) -> None:
    print("+", *command, file=sys.stderr, flush=True)
    done = subprocess.run([str(word) for word in command], cwd=TREE, env={**os.environ, **env}, stdout=sys.stderr)
    if done.returncode != 0:
        sys.exit(f"The bench could not set itself up: {Path(str(command[0])).name} failed, see above.")
