"""aria2: a peer reaches it only by a tracker, so the bench runs one.

`--file-allocation=none` is not its default, which writes every page twice; it is its fastest.
"""

from __future__ import annotations

import subprocess

from clients import Client, Place, Seeding, Used, seeding, until_exit
from payload import Payload
from process import Process
from tracker import free_port


class Aria2(Client):
    name = "aria2"

    def version(self) -> str:
        out = subprocess.run(["aria2c", "--version"], capture_output=True, text=True, check=True).stdout
        return "aria2 " + out.split()[2]

    def _start(self, place: Place, payload: Payload, directory, *more: str) -> Process:
        command = [
            "aria2c",
            "--no-conf=true",
            f"--dir={directory}",
            "--interface=127.0.0.1",
            "--disable-ipv6=true",
            "--enable-dht=false",
            "--bt-enable-lpd=false",
            "--enable-peer-exchange=false",
            "--file-allocation=none",
            "--console-log-level=warn",
            "--summary-interval=0",
            "--show-console-readout=false",
            *more,
            str(payload.torrent),
        ]
        return Process(command, place.logs / "aria2.log", place.core)

    def download(self, place: Place, payload: Payload, peer_port: int, dial) -> Used:
        place.tracker.peers = [peer_port]
        tracker, port = f"--bt-tracker={place.tracker.url}", f"--listen-port={free_port()}"
        process = self._start(place, payload, place.directory, "--seed-time=0", tracker, port)
        return until_exit(process, place.timeout)

    def seed(self, place: Place, payload: Payload) -> Seeding:
        port = free_port()
        process = self._start(
            place,
            payload,
            payload.directory,
            f"--listen-port={port}",
            "--seed-ratio=0.0",
            "--bt-seed-unverified=true",
            "--allow-overwrite=false",
        )
        return seeding(process, port, place.timeout)

    def verify(self, place: Place, payload: Payload) -> Used:
        process = self._start(
            place, payload, payload.directory, "--check-integrity=true", "--hash-check-only=true"
        )
        return until_exit(process, place.timeout)
