"""libtorrent from Python, as a contender and as the other end. Runs in the bench's own venv.

    libtorrent_peer.py download TORRENT DIR PORT [PEER_PORT]
    libtorrent_peer.py seed TORRENT DIR PORT          reads lines `dial PORT`
    libtorrent_peer.py verify TORRENT DIR
    libtorrent_peer.py create FILE OUT PIECE_LENGTH
    libtorrent_peer.py idle TORRENTS_DIR DIR PORT     reads the line `add`

Prints `ready USER SYS` with the CPU-seconds of the interpreter's start, which are not libtorrent's
and are subtracted. The library's defaults are kept but for queueing and for what reaches outside of the machine.
"""

import resource
import sys
import time
from pathlib import Path

import libtorrent as lt

SETTINGS = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "out_enc_policy": int(lt.enc_policy.disabled),
    "in_enc_policy": int(lt.enc_policy.disabled),
    "allow_multiple_connections_per_ip": True,
    "alert_mask": int(lt.alert.category_t.status_notification | lt.alert.category_t.error_notification),
}


def say(*words) -> None:
    print(*words, flush=True)


def ready() -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    say("ready", usage.ru_utime, usage.ru_stime)


def session(port: int) -> lt.session:
    return lt.session({**SETTINGS, "listen_interfaces": f"127.0.0.1:{port}"})


def parameters(torrent: str, directory: str) -> lt.add_torrent_params:
    params = lt.load_torrent_file(torrent)
    params.save_path = directory
    # Queueing would leave the torrent paused until its next look, and refuse peers meanwhile.
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    return params


def wait_for(ses: lt.session, kinds: tuple, until=lambda alert: True):
    """The next alert of the kinds; a torrent's error ends the program."""
    while True:
        ses.wait_for_alert(1000)
        for alert in ses.pop_alerts():
            if isinstance(alert, (lt.torrent_error_alert, lt.file_error_alert)):
                sys.exit(alert.message())
            if isinstance(alert, kinds) and until(alert):
                return alert


def download(torrent: str, directory: str, port: str, peer: str = "") -> None:
    ready()
    ses = session(int(port))
    handle = ses.add_torrent(parameters(torrent, directory))
    if peer:
        handle.connect_peer(("127.0.0.1", int(peer)))
    wait_for(ses, (lt.torrent_finished_alert,))
    # 'Finished' comes before the last blocks are in the file.
    handle.flush_cache()
    wait_for(ses, (lt.cache_flushed_alert,))


def seed(torrent: str, directory: str, port: str) -> None:
    ready()
    ses = session(int(port))
    params = parameters(torrent, directory)
    params.flags |= lt.torrent_flags.seed_mode
    handle = ses.add_torrent(params)
    wait_for(ses, (lt.torrent_checked_alert, lt.torrent_finished_alert, lt.state_changed_alert))
    say("seeding")
    for line in sys.stdin:
        handle.connect_peer(("127.0.0.1", int(line.split()[1])))


def verify(torrent: str, directory: str) -> None:
    ready()
    ses = session(0)
    handle = ses.add_torrent(parameters(torrent, directory))
    wait_for(ses, (lt.torrent_checked_alert,))
    if not handle.status().is_seeding:
        sys.exit("data is missing")


def create(file: str, out: str, piece_length: str) -> None:
    ready()
    entries = lt.list_files(file)
    torrent = lt.create_torrent(entries, int(piece_length), lt.create_torrent.v1_only)
    lt.set_piece_hashes(torrent, str(Path(file).parent))
    Path(out).write_bytes(lt.bencode(torrent.generate()))


def idle(torrents: str, directory: str, port: str) -> None:
    ses = session(int(port))
    all_params = [parameters(str(path), directory) for path in sorted(Path(torrents).iterdir())]
    ready()
    say("waiting")
    sys.stdin.readline()
    started = time.monotonic()
    added = 0
    for params in all_params:
        ses.async_add_torrent(params)
    while added < len(all_params):
        ses.wait_for_alert(1000)
        added += sum(isinstance(alert, lt.add_torrent_alert) for alert in ses.pop_alerts())
    say("added", time.monotonic() - started)
    sys.stdin.readline()


if __name__ == "__main__":
    {"download": download, "seed": seed, "verify": verify, "create": create, "idle": idle}[sys.argv[1]](*sys.argv[2:])
