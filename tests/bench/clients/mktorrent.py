"""mktorrent makes torrents and nothing else, on two threads."""

from __future__ import annotations

import subprocess
from pathlib import Path

from clients import Client, Place, Used, until_exit
from payload import Payload
from process import Process


class Mktorrent(Client):
    """Makes torrents and nothing else, with two threads."""

    name = "mktorrent"

    def version(self) -> str:
        done = subprocess.run(["mktorrent", "-h"], capture_output=True, text=True)
        return "mktorrent " + (done.stdout + done.stderr).split()[1]

    def create(self, place: Place, payload: Payload) -> tuple[Used, Path]:
        out = place.logs / "mktorrent.torrent"
        power = str(payload.piece_length.bit_length() - 1)
        command = ["mktorrent", "-l", power, "-t", "2", "-o", str(out), str(payload.file)]
        process = Process(command, place.logs / "mktorrent.log", place.core)
        return until_exit(process, place.timeout), out
