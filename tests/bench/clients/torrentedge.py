"""TorrentEdge, built with `--release` from the tree that the bench stands in."""

from __future__ import annotations

import http.client
import subprocess
from pathlib import Path

from clients import Client, Idle, Place, Seeding, Used, seeding, until_exit
from payload import Payload
from process import Failed, Process
from tracker import accepts, free_port


class Torrentedge(Client):
    name = "torrentedge"

    def __init__(self, program: Path) -> None:
        self.program = program

    def version(self) -> str:
        return subprocess.run([self.program, "--version"], capture_output=True, text=True, check=True).stdout.strip()

    def _start(self, place: Place, *arguments, settings: dict[str, str] | None = None) -> Process:
        command = [str(self.program), *map(str, arguments)]
        settings = {"ENGINE__NETWORK__ALLOW_PRIVATE_PEERS": "true", **(settings or {})}
        env = {f"TORRENTEDGE__{key}": value for key, value in settings.items()}
        return Process(command, place.logs / f"torrentedge-{arguments[0]}.log", place.core, env)

    def _network(self, port: int) -> list[str]:
        return [
            "--listen-ip=127.0.0.1",
            f"--port={port}",
            "--encryption=plain",
            "--transport=tcp",
            "--no-dht",
            "--no-lsd",
        ]

    def download(self, place: Place, payload: Payload, peer_port: int, dial) -> Used:
        peer = f"--peer=127.0.0.1:{peer_port}"
        network = self._network(free_port())
        process = self._start(place, "download", payload.torrent, "-o", place.directory, peer, *network)
        return until_exit(process, place.timeout)

    def seed(self, place: Place, payload: Payload) -> Seeding:
        port = free_port()
        process = self._start(place, "seed", payload.torrent, "-d", payload.directory, *self._network(port))
        return seeding(process, port, place.timeout)

    def verify(self, place: Place, payload: Payload) -> Used:
        process = self._start(place, "verify", payload.torrent, "-d", payload.directory)
        return until_exit(process, place.timeout)

    def create(self, place: Place, payload: Payload) -> tuple[Used, Path]:
        out = place.logs / "torrentedge.torrent"
        out.unlink(missing_ok=True)
        length = f"--piece-length={payload.piece_length}"
        process = self._start(place, "create", payload.file, "-o", out, "--v1", length)
        return until_exit(process, place.timeout), out

    def idle(self, place: Place, torrents: list[Path]) -> Idle:
        http_port = free_port()
        settings = {
            "NODE__DATA_DIR": str(place.directory),
            "GATEWAY__LISTEN": f"127.0.0.1:{http_port}",
            "ENGINE__NETWORK__LISTEN_IP": "127.0.0.1",
            "ENGINE__NETWORK__LISTEN_PORT": str(free_port()),
        }
        process = self._start(place, "serve", settings=settings)
        process.wait_until(lambda: accepts(http_port), place.timeout, "open HTTP port")

        def add() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", http_port, timeout=place.timeout)
            for torrent in torrents:
                _upload(connection, torrent)
            connection.close()

        return Idle(process, add)


def _upload(connection: http.client.HTTPConnection, torrent: Path) -> None:
    boundary = "torrentedge-bench"
    disposition = f'form-data; name="torrent"; filename="{torrent.name}"'
    front = f"--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: application/x-bittorrent\r\n\r\n"
    body = front.encode() + torrent.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    connection.request("POST", "/api/v1/torrents", body, headers)
    response = connection.getresponse()
    answer = response.read()
    if response.status not in (200, 201, 202):
        raise Failed(f"torrentedge refused a torrent: {response.status} {answer[:200]!r}")
