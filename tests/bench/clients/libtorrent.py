"""libtorrent 2.1 (PyPI), driven by `libtorrent_peer.py`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from clients import Client, Idle, Place, Seeding, Used, seeding, until_exit
from payload import Payload
from process import Cpu, Process
from tracker import free_port

SCRIPT = Path(__file__).parent.parent / "libtorrent_peer.py"


class Libtorrent(Client):
    name = "libtorrent"

    def __init__(self, python: Path) -> None:
        self.python = python

    def version(self) -> str:
        command = [str(self.python), "-c", "import libtorrent; print(libtorrent.__version__)"]
        return "libtorrent " + subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def _start(self, place: Place, *arguments) -> Process:
        command = [str(self.python), str(SCRIPT), *map(str, arguments)]
        return Process(command, place.logs / f"libtorrent-{arguments[0]}.log", place.core)

    def _until_exit(self, process: Process, timeout: float) -> Used:
        used = until_exit(process, timeout)
        user, system = process.wait_for_line("ready", 1).split()
        used.cpu -= Cpu(float(user), float(system))
        return used

    def download(self, place: Place, payload: Payload, peer_port: int, dial) -> Used:
        process = self._start(place, "download", payload.torrent, place.directory, free_port(), peer_port)
        return self._until_exit(process, place.timeout)

    def seed(self, place: Place, payload: Payload) -> Seeding:
        port = free_port()
        process = self._start(place, "seed", payload.torrent, payload.directory, port)
        return seeding(process, port, place.timeout)

    def verify(self, place: Place, payload: Payload) -> Used:
        process = self._start(place, "verify", payload.torrent, payload.directory)
        return self._until_exit(process, place.timeout)

    def create(self, place: Place, payload: Payload) -> tuple[Used, Path]:
        out = place.logs / "libtorrent.torrent"
        process = self._start(place, "create", payload.file, out, payload.piece_length)
        return self._until_exit(process, place.timeout), out

    def idle(self, place: Place, torrents: list[Path]) -> Idle:
        process = self._start(place, "idle", torrents[0].parent, place.directory, free_port())
        process.wait_for_line("waiting", place.timeout)

        def add() -> None:
            process.tell("add")
            process.wait_for_line("added", place.timeout)

        return Idle(process, add)
