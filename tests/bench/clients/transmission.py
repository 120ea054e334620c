"""transmission-daemon 3.00, driven by its RPC. It drops loopback peers, so the other end dials it."""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import time
from pathlib import Path

from clients import Client, Idle, Place, Seeding, Used, seeding, until_exit
from payload import Payload
from process import Failed, Process
from tracker import accepts, free_port

# torrent-get's `status`
STOPPED = 0

POLL_S = 0.05


class Rpc:
    """Calls of one daemon over one connection."""

    def __init__(self, port: int, timeout: float) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        self.session = ""

    def call(self, method: str, **arguments):
        dashed = {key.replace("_", "-"): item for key, item in arguments.items()}
        body = json.dumps({"method": method, "arguments": dashed})
        for _ in range(2):
            self.connection.request(
                "POST", "/transmission/rpc", body, {"X-Transmission-Session-Id": self.session}
            )
            response = self.connection.getresponse()
            answer = response.read()
            if response.status != 409:
                break
            self.session = response.headers["X-Transmission-Session-Id"]
        parsed = json.loads(answer)
        if parsed["result"] != "success":
            raise Failed(f"transmission: {method}: {parsed['result']}")
        return parsed["arguments"]

    def add(self, torrent: Path, directory: Path, paused: bool = False) -> None:
        metainfo = base64.b64encode(torrent.read_bytes()).decode()
        self.call("torrent-add", metainfo=metainfo, download_dir=str(directory), paused=paused)

    def the_torrent(self) -> dict:
        fields = ["status", "leftUntilDone", "percentDone", "errorString", "haveValid"]
        [torrent] = self.call("torrent-get", fields=fields)["torrents"]
        if torrent["errorString"]:
            raise Failed(f"transmission: {torrent['errorString']}")
        return torrent


class Transmission(Client):
    name = "transmission"
    must_be_dialled = True

    def version(self) -> str:
        command = ["transmission-daemon", "--version"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return "transmission " + (done.stdout + done.stderr).split()[1]

    def _start(self, place: Place) -> tuple[Process, Rpc, int]:
        rpc_port, peer_port = free_port(), free_port()
        home = place.logs / "transmission"
        home.mkdir(parents=True, exist_ok=True)
        settings = {
            "bind-address-ipv4": "127.0.0.1",
            "bind-address-ipv6": "::1",
            "dht-enabled": False,
            "download-dir": str(place.directory),
            "encryption": 0,
            "lpd-enabled": False,
            "peer-port": peer_port,
            "pex-enabled": False,
            "port-forwarding-enabled": False,
            "rpc-bind-address": "127.0.0.1",
            "rpc-port": rpc_port,
            "rpc-whitelist-enabled": False,
            "utp-enabled": False,
        }
        (home / "settings.json").write_text(json.dumps(settings))
        command = ["transmission-daemon", "--foreground", "--config-dir", str(home)]
        process = Process(command, place.logs / "transmission.log", place.core)
        process.wait_until(lambda: accepts(rpc_port), place.timeout, "open RPC port")
        return process, Rpc(rpc_port, place.timeout), peer_port

    def _wait(self, process: Process, rpc: Rpc, place: Place, done, what: str) -> None:
        process.wait_until(lambda: done(rpc.the_torrent()), place.timeout, what, POLL_S)

    def download(self, place: Place, payload: Payload, peer_port: int, dial) -> Used:
        process, rpc, port = self._start(place)
        try:
            rpc.add(payload.torrent, place.directory)
            dial(port)
            self._wait(process, rpc, place, lambda torrent: torrent["leftUntilDone"] == 0, "complete torrent")
            wall = time.monotonic() - process.started
            # Closing writes what its cache still holds.
            rpc.call("session-close")
            used = until_exit(process, place.timeout)
        finally:
            process.stop()
        used.wall = wall
        return used

    def seed(self, place: Place, payload: Payload) -> Seeding:
        process, rpc, port = self._start(place)
        rpc.add(payload.torrent, payload.directory)
        self._wait(process, rpc, place, lambda torrent: torrent["leftUntilDone"] == 0, "complete torrent")
        return seeding(process, port, place.timeout)

    def verify(self, place: Place, payload: Payload) -> Used:
        process, rpc, _ = self._start(place)
        try:
            rpc.add(payload.torrent, payload.directory, paused=True)
            process.rest(place.timeout)
            before, started = process.cpu(), time.monotonic()
            rpc.call("torrent-verify")
            # It says 'stopped' until it begins, so the end is a rest with every byte there.
            self._wait(process, rpc, place, lambda torrent: torrent["status"] != STOPPED, "start of verifying")
            self._wait(process, rpc, place, lambda torrent: torrent["status"] == STOPPED, "end of verifying")
            wall, cpu = time.monotonic() - started, process.cpu() - before
            if rpc.the_torrent()["haveValid"] != payload.size:
                raise Failed("transmission found data missing")
        finally:
            process.stop()
        return Used(cpu, wall, process.rss_peak, process.anon_peak)

    def create(self, place: Place, payload: Payload) -> tuple[Used, Path]:
        out = place.logs / "transmission.torrent"
        piece = str(payload.piece_length // 1024)
        command = ["transmission-create", "-s", piece, "-o", str(out), str(payload.file)]
        process = Process(command, place.logs / "transmission-create.log", place.core)
        return until_exit(process, place.timeout), out

    def idle(self, place: Place, torrents: list[Path]) -> Idle:
        process, rpc, _ = self._start(place)
        return Idle(process, lambda: [rpc.add(torrent, place.directory) for torrent in torrents])
