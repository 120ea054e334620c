"""What the workloads need from a contender, and what they are given.

A contender implements the jobs that it can do; the others stay `None` and appear as n/a.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from payload import Payload
from process import Cpu, Process
from tracker import Tracker, accepts


@dataclass
class Place:
    """Where a run happens."""

    # An empty directory on the medium under test, for what the contender writes.
    directory: Path
    # For logs and settings; always on disk.
    logs: Path
    core: int | None
    timeout: float
    tracker: Tracker


@dataclass
class Used:
    """What a job cost."""

    cpu: Cpu
    wall: float
    rss: int
    anon: int
    extra: dict[str, float] = field(default_factory=dict)


@dataclass
class Seeding:
    """A program that seeds and is at rest."""

    process: Process
    port: int


class Client:
    """A contender."""

    name = ""
    # A client that takes no loopback peer from anywhere has to be dialled by the other end.
    must_be_dialled = False

    def version(self) -> str:
        """Name and version for the table; an exception if it cannot be run."""
        raise NotImplementedError

    # download(place, payload, peer_port, dial) -> Used: into place.directory, until every byte is
    # in the file. `dial(port)` makes the other end connect.
    download = None
    # seed(place, payload) -> Seeding: from payload.directory
    seed = None
    # verify(place, payload) -> Used: reads payload.directory
    verify = None
    # create(place, payload) -> (Used, Path): makes a torrent of payload.file
    create = None
    # idle(place, torrents) -> Idle
    idle = None


@dataclass
class Idle:
    """A program that can be given many torrents; its process runs."""

    process: Process
    # Adds them all and returns when the last is taken.
    add: object


def until_exit(process: Process, timeout: float) -> Used:
    """The cost of a program that ends when its work is done."""
    try:
        wall = process.wait(timeout)
    finally:
        process.stop()
    return Used(process.cpu(), wall, process.rss_peak, process.anon_peak)


def seeding(process: Process, port: int, timeout: float) -> Seeding:
    """Waits until the program listens and what it does at start is over."""
    try:
        process.wait_until(lambda: accepts(port), timeout, "open port")
        process.rest(timeout)
    except BaseException:
        process.stop()
        raise
    return Seeding(process, port)
