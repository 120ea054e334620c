"""What the contenders are made to do, one run at a time."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import payload as data
from clients import Client, Place, Used
from payload import Payload
from process import Failed
from tracker import Tracker

# The contender has a core to itself; the other end and the bench share the other.
CONTENDER_CORE = 1
OTHER_CORE = 0

IDLE_LOOK_S = 20


@dataclass
class Medium:
    """A file system under test."""

    name: str
    root: Path


@dataclass
class Row:
    """One run of one contender."""

    workload: str
    medium: str
    client: str
    used: Used | None = None
    gib: float = 0.0
    failure: str = ""


@dataclass
class Bench:
    """What all runs share."""

    logs: Path
    timeout: float
    other_end: Client
    tracker: Tracker
    rows: list[Row] = field(default_factory=list)
    _number: int = 0

    def _place(self, medium: Medium, core: int | None, role: str) -> Place:
        self._number += 1
        directory = data.empty(medium.root / role)
        logs = data.empty(self.logs / f"{self._number:04}-{role}")
        return Place(directory, logs, core, self.timeout, self.tracker)

    def run(self, workload, medium: Medium, client: Client, *arguments) -> Row:
        """Runs a workload once; a failure is a row too."""
        row = Row(workload.__name__, medium.name, client.name)
        try:
            row.used, row.gib = workload(self, medium, client, *arguments)
        except Failed as failure:
            row.failure = str(failure)
        self.rows.append(row)
        return row


def download(bench: Bench, medium: Medium, client: Client, payload: Payload) -> tuple[Used, float]:
    """W1: one libtorrent seeder, one contender that downloads."""
    return _transfer(bench, medium, client, bench.other_end, payload)


def pair(bench: Bench, medium: Medium, client: Client, payload: Payload) -> tuple[Used, float]:
    """W1b: the contender downloads from another process of itself."""
    return _transfer(bench, medium, client, client, payload)


def _transfer(bench: Bench, medium: Medium, client: Client, seeder: Client, payload: Payload) -> tuple[Used, float]:
    other, place = bench._place(medium, OTHER_CORE, "seeder"), bench._place(medium, CONTENDER_CORE, "contender")
    seeding = seeder.seed(other, payload)
    try:
        _get_ready(medium, payload.size)
        dial = lambda port: seeding.process.tell(f"dial {port}")
        used = client.download(place, payload, seeding.port, dial)
    finally:
        seeding.process.stop()
    _check(place.directory / payload.name, payload)
    data.empty(place.directory)
    return used, payload.gib


def seed(bench: Bench, medium: Medium, client: Client, payload: Payload) -> tuple[Used, float]:
    """W3: one contender that seeds, one libtorrent leecher. The wall time is the leecher's."""
    own, place = bench._place(medium, CONTENDER_CORE, "contender"), bench._place(medium, OTHER_CORE, "leecher")
    seeding = client.seed(own, payload)
    try:
        _get_ready(medium, payload.size)
        seeding.process.forget_peaks()
        before = seeding.process.cpu()
        leeched = bench.other_end.download(place, payload, seeding.port, None)
        cpu = seeding.process.cpu() - before
    finally:
        seeding.process.stop()
    _check(place.directory / payload.name, payload)
    data.empty(place.directory)
    return Used(cpu, leeched.wall, seeding.process.rss_peak, seeding.process.anon_peak), payload.gib


def verify(bench: Bench, medium: Medium, client: Client, payload: Payload) -> tuple[Used, float]:
    """W4: a complete download is hashed again. Any core may be used."""
    return client.verify(bench._place(medium, None, "contender"), payload), payload.gib


def create(bench: Bench, medium: Medium, client: Client, payload: Payload) -> tuple[Used, float]:
    """W6: a torrent is made of the data. Any core may be used."""
    used, torrent = client.create(bench._place(medium, None, "contender"), payload)
    metainfo, _ = data.bdecode(torrent.read_bytes())
    if metainfo[b"info"][b"pieces"] != payload.pieces:
        raise Failed(f"{client.name} made a torrent with wrong hashes")
    return used, payload.gib


def idle(bench: Bench, medium: Medium, client: Client, torrents: list[Path]) -> tuple[Used, float]:
    """W5: many torrents without peers, trackers or data are added; then nothing happens."""
    idle = client.idle(bench._place(medium, CONTENDER_CORE, "contender"), torrents)
    try:
        idle.process.rest(bench.timeout)
        anon_before, before, started = idle.process.anon_now(), idle.process.cpu(), time.monotonic()
        idle.add()
        wall, cpu = time.monotonic() - started, idle.process.cpu() - before
        # What adding leaves behind (checking, saving) is neither adding nor idling.
        time.sleep(5)
        before = idle.process.cpu()
        time.sleep(IDLE_LOOK_S)
        percent = (idle.process.cpu() - before).total / IDLE_LOOK_S * 100
        anon = idle.process.anon_now()
    finally:
        # Nothing here is kept, and some clients take minutes to say goodbye.
        idle.process.stop(signal.SIGKILL)
    extra = {"idle_percent": percent, "bytes_per_torrent": (anon - anon_before) / len(torrents)}
    return Used(cpu, wall, idle.process.rss_peak, anon, extra), 0.0


def _get_ready(medium: Medium, size: int) -> None:
    if medium.name == "disk":
        data.settle_disk()
    data.touch_pages(medium.root, size)


def _check(file: Path, payload: Payload) -> None:
    if not file.exists() or data.sha1_of(file) != payload.sha1:
        raise Failed("the SHA-1 of the result is not the source's")
