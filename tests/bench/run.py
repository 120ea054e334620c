#!/usr/bin/env python3
"""The benchmark: TorrentEdge beside other people's clients, in the same run.

    tests/bench/run.py            all of it (about an hour)
    tests/bench/run.py --ci       small and without rqbit (a few minutes)

What is measured, how, and the last table: README.md in this directory.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import shutil
import sys
import time
from pathlib import Path

import install
import payload as data
import report
import workloads
from clients import Client
from clients.aria2 import Aria2
from clients.libtorrent import Libtorrent
from clients.mktorrent import Mktorrent
from clients.rqbit import Rqbit
from clients.torrentedge import Torrentedge
from clients.transmission import Transmission
from tracker import Tracker
from workloads import Bench, Medium

# Without one of these a table says nothing about being ahead of all.
NEEDED = ["torrentedge", "libtorrent", "aria2", "transmission", "rqbit", "mktorrent"]

# The other end cannot be made to dial by every client, so a pair of these does not find together.
NO_PAIR = {"transmission"}

WORKLOADS = ["download", "pair", "seed", "verify", "create", "idle"]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ci", action="store_true", help="small sizes, 2 runs, tmpfs, without rqbit")
    parser.add_argument("--runs", type=int, default=5, help="runs of each contender (5)")
    parser.add_argument("--size-mib", type=int, default=1024, help="payload of transfers (1024)")
    parser.add_argument("--verify-mib", type=int, default=4096, help="payload of recheck and create (4096)")
    parser.add_argument("--piece-kib", type=int, default=256, help="piece length (256)")
    parser.add_argument("--idle-torrents", type=int, default=10_000, help="torrents without data (10000)")
    parser.add_argument("--idle-runs", type=int, default=1, help="runs of the idle workload (1)")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="some of " + ",".join(WORKLOADS))
    parser.add_argument("--media", default="tmpfs,disk", help="tmpfs, disk or both")
    parser.add_argument("--only", default="", help="only these contenders: a table for work on them, not a valid one")
    parser.add_argument("--timeout", type=float, default=300, help="seconds that a run may take (300)")
    parser.add_argument("--out", type=Path, default=install.CACHE / "results", help="where the tables go")
    options = parser.parse_args()
    if options.ci:
        options.runs, options.size_mib, options.verify_mib, options.idle_torrents = 2, 64, 256, 500
        options.media = "tmpfs"
    options.workloads = options.workloads.split(",")
    options.media = options.media.split(",")
    unknown = set(options.workloads) - set(WORKLOADS) | set(options.media) - {"tmpfs", "disk"}
    if unknown:
        parser.error(f"not known: {', '.join(sorted(unknown))}")
    return options


def contenders(options: argparse.Namespace) -> tuple[list[Client], Client]:
    """The contenders, set up, and the other end of their transfers."""
    needed = [name for name in NEEDED if not (options.ci and name == "rqbit")]
    wanted = options.only.split(",") if options.only else needed
    install.debian()
    libtorrent = Libtorrent(install.venv_python())
    make = {
        "torrentedge": lambda: Torrentedge(install.torrentedge()),
        "libtorrent": lambda: libtorrent,
        "aria2": Aria2,
        "transmission": Transmission,
        "rqbit": lambda: Rqbit(install.rqbit()),
        "mktorrent": Mktorrent,
    }
    clients = []
    for name in wanted:
        try:
            client = make[name]()
            print(client.version(), file=sys.stderr)
        except Exception as error:  # whatever it is, the table is not valid
            sys.exit(f"No valid table without {name}, which cannot be run: {error}")
        clients.append(client)
    return clients, libtorrent


def rounds(bench: Bench, clients: list[Client], name: str, medium: Medium, runs: int, *arguments) -> None:
    """Every contender once, and again: what changes on the machine in an hour hits all alike."""
    able = [client for client in clients if getattr(client, name if name != "pair" else "download")]
    if name == "pair":
        able = [client for client in able if client.seed and client.name not in NO_PAIR]
    for number in range(runs):
        for client in able[number % len(able) :] + able[: number % len(able)]:
            row = bench.run(getattr(workloads, name), medium, client, *arguments)
            figure = f"{row.used.cpu.total:7.2f} CPU-s {row.used.wall:7.2f} s" if row.used else row.failure
            print(f"{name:9} {medium.name:6} {number + 1}/{runs} {client.name:13} {figure}", file=sys.stderr)


def run(options: argparse.Namespace, clients: list[Client], other_end: Client, media: list[Medium]) -> Bench:
    piece_length = options.piece_kib * 1024
    tracker = Tracker()
    bench = Bench(data.empty(install.CACHE / "logs"), options.timeout, other_end, tracker)
    moving = [name for name in ("download", "pair", "seed") if name in options.workloads]
    for medium in media if moving else []:
        payload = data.make(medium.root / "payload", options.size_mib * data.MIB, piece_length)
        for name in moving:
            # Own ends on tmpfs are enough to see what the clients can do with each other.
            if name != "pair" or medium.name == media[0].name:
                rounds(bench, clients, name, medium, options.runs, payload)
        shutil.rmtree(medium.root / "payload")
    hashing = [name for name in ("verify", "create") if name in options.workloads]
    if hashing:
        payload = data.make(media[0].root / "payload", options.verify_mib * data.MIB, piece_length)
        for name in hashing:
            rounds(bench, clients, name, media[0], options.runs, payload)
        shutil.rmtree(media[0].root / "payload")
    if "idle" in options.workloads:
        torrents = data.idle_torrents(media[0].root / "torrents", options.idle_torrents)
        rounds(bench, clients, "idle", media[0], options.idle_runs, torrents)
    tracker.close()
    return bench


def head(options: argparse.Namespace, clients: list[Client]) -> str:
    model = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    validity = "**Not a valid table: some contenders were left out.**\n\n" if options.only else ""
    versions = ", ".join(client.version() for client in clients)
    return (
        f"{validity}{time.strftime('%Y-%m-%d')}, {model}, {os.cpu_count()} cores, Linux {platform.release()}. "
        f"{versions}. Transfers {options.size_mib} MiB, recheck and create {options.verify_mib} MiB, "
        f"pieces of {options.piece_kib} KiB, {options.idle_torrents} idle torrents, {options.runs} runs in turns.\n"
    )


def main() -> int:
    options = arguments()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("The bench needs two cores: one for the contender, one for the other end.")
    clients, other_end = contenders(options)
    os.sched_setaffinity(0, {workloads.OTHER_CORE})
    roots = {"tmpfs": Path(f"/dev/shm/torrentedge-bench-{os.getpid()}"), "disk": install.CACHE / f"data-{os.getpid()}"}
    media = [Medium(name, data.empty(roots[name])) for name in options.media]
    try:
        bench = run(options, clients, other_end, media)
    finally:
        for medium in media:
            shutil.rmtree(medium.root, ignore_errors=True)
    text = head(options, clients) + "\n" + report.markdown(bench.rows, WORKLOADS, options.media)
    options.out.mkdir(parents=True, exist_ok=True)
    stem = options.out / time.strftime("%Y%m%d-%H%M%S")
    stem.with_suffix(".md").write_text(text)
    stem.with_suffix(".json").write_text(json.dumps([dataclasses.asdict(row) for row in bench.rows], indent=1))
    print(text)
    print(f"Written to {stem}.md and .json", file=sys.stderr)
    return 1 if any(row.failure for row in bench.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
