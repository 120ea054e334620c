"""rqbit 9, built once by cargo into the bench's cache."""

from __future__ import annotations

import http.client
import json
import subprocess
from pathlib import Path

from clients import Client, Idle, Place, Seeding, Used, seeding, until_exit
from payload import Payload
from process import Failed, Process
from tracker import accepts, free_port


class Rqbit(Client):
    name = "rqbit"

    def __init__(self, program: Path) -> None:
        self.program = program

    def version(self) -> str:
        return subprocess.run([self.program, "--version"], capture_output=True, text=True, check=True).stdout.strip()

    def _start(self, place: Place, port: int, http_port: int, *arguments: str) -> Process:
        command = [
            str(self.program),
            "-v=warn",
            "--listen-ip=127.0.0.1",
            f"--listen-port={port}",
            f"--http-api-listen-addr=127.0.0.1:{http_port}",
            "--disable-dht",
            "--disable-lsd",
            "--disable-trackers",
            "--disable-upnp-port-forward",
            *arguments,
        ]
        return Process(command, place.logs / "rqbit.log", place.core)

    def download(self, place: Place, payload: Payload, peer_port: int, dial) -> Used:
        process = self._start(
            place,
            free_port(),
            free_port(),
            "download",
            "--exit-on-finish",
            "--disable-http-api",
            f"--initial-peers=127.0.0.1:{peer_port}",
            f"--output-folder={place.directory}",
            str(payload.torrent),
        )
        return until_exit(process, place.timeout)

    def seed(self, place: Place, payload: Payload) -> Seeding:
        port = free_port()
        output = f"--output-folder={payload.directory}"
        process = self._start(
            place, port, free_port(), "download", "--overwrite", "--disable-http-api", output, str(payload.torrent)
        )
        return seeding(process, port, place.timeout)

    def verify(self, place: Place, payload: Payload) -> Used:
        output = f"--output-folder={payload.directory}"
        process = self._start(
            place,
            free_port(),
            free_port(),
            "download",
            "--overwrite",
            "--exit-on-finish",
            "--disable-http-api",
            output,
            str(payload.torrent),
        )
        return until_exit(process, place.timeout)

    def idle(self, place: Place, torrents: list[Path]) -> Idle:
        http_port = free_port()
        process = self._start(
            place, free_port(), http_port, "server", "start", "--disable-persistence", str(place.directory)
        )
        process.wait_until(lambda: accepts(http_port), place.timeout, "open HTTP port")

        def add() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", http_port, timeout=place.timeout)
            for torrent in torrents:
                connection.request("POST", "/torrents?overwrite=true", torrent.read_bytes())
                response = connection.getresponse()
                body = response.read()
                if response.status != 200:
                    raise Failed(f"rqbit refused a torrent: {response.status} {json.dumps(body.decode())[:200]}")
            connection.close()

        return Idle(process, add)
