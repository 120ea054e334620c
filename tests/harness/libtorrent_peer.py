"""One libtorrent session with one torrent, for the interop tests.

Prints `listening` when it accepts peers and `complete` when all data is checked and written, and
runs until it is stopped.
"""

import argparse
import sys

import libtorrent as lt

ENCRYPTION = {
    "plain": ("disabled", "both"),
    "mse-rc4": ("forced", "rc4"),
    "mse-plaintext": ("forced", "plaintext"),
}


def settings(options):
    """Settings for a host that must find peers only as the test says, and fast."""
    policy, level = ENCRYPTION[options.encryption]
    policy = int(getattr(lt.enc_policy, policy))
    categories = lt.alert.category_t
    return {
        "listen_interfaces": options.listen,
        "alert_mask": categories.status_notification | categories.error_notification
        | categories.storage_notification | categories.peer_notification
        | categories.connect_notification,
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_incoming_utp": False,
        "enable_outgoing_utp": False,
        "in_enc_policy": policy,
        "out_enc_policy": policy,
        "allowed_enc_level": int(getattr(lt.enc_level, level)),
        "upload_rate_limit": options.upload_limit,
        "rate_limit_ip_overhead": False,
    }


def parameters(options):
    """What to add: the torrent, its data's place, peers to dial."""
    if options.source.startswith("magnet:"):
        adding = lt.parse_magnet_uri(options.source)
    else:
        adding = lt.add_torrent_params()
        adding.ti = lt.torrent_info(options.source)
    adding.save_path = options.dir
    # Without this flag a seed's files are hashed before it says that it has them.
    adding.flags &= ~lt.torrent_flags.auto_managed
    adding.flags &= ~lt.torrent_flags.paused
    adding.flags |= lt.torrent_flags.update_subscribe
    adding.peers = [(host, int(port)) for host, port in (p.rsplit(":", 1) for p in options.peer)]
    return adding


def run(options):
    """Runs until the process is stopped, reporting what happens."""
    session = lt.session(settings(options))
    # Otherwise rate limits do not hold for peers with private addresses.
    everybody = lt.ip_filter()
    everybody.add_rule("0.0.0.0", "255.255.255.255", 1 << lt.session.global_peer_class_id)
    session.set_peer_class_filter(everybody)
    handle = session.add_torrent(parameters(options))
    flushing = False
    while True:
        session.wait_for_alert(200)
        for alert in session.pop_alerts():
            print(f"{type(alert).__name__}: {alert}", file=sys.stderr, flush=True)
            if isinstance(alert, lt.listen_succeeded_alert):
                print("listening", flush=True)
            if isinstance(alert, lt.cache_flushed_alert) and flushing:
                print("complete", flush=True)
        # It calls itself complete before the last blocks are in the files.
        if not flushing and handle.status().is_seeding:
            flushing = True
            handle.flush_cache()


def main():
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--dir", required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--encryption", choices=ENCRYPTION, default="plain")
    parser.add_argument("--peer", action="append", default=[])
    parser.add_argument("--upload-limit", type=int, default=0)
    parser.add_argument("--seed", action="store_true")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
