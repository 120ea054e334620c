"""Prints the info-hashes that libtorrent gives a file or directory, as `v1 v2`, `-` for none."""

import pathlib
import sys

import libtorrent as lt

FLAGS = {"v1": lt.create_torrent.v1_only, "v2": lt.create_torrent.v2_only, "hybrid": 0}


def main():
    """Takes the version, the piece length and the path."""
    version, piece_length, path = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
    files = lt.file_storage()
    # Sorted by their bytes, as everybody sorts who does not take the directory's own order.
    found = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    for file in sorted(found, key=lambda p: [bytes(part, "utf-8") for part in p.parts]):
        files.add_file(str(file.relative_to(path.parent)), file.stat().st_size)
    torrent = lt.create_torrent(files, piece_length, FLAGS[version])
    lt.set_piece_hashes(torrent, str(path.parent))
    hashes = lt.torrent_info(torrent.generate()).info_hashes()
    v1 = str(hashes.v1) if hashes.has_v1() else "-"
    v2 = str(hashes.v2) if hashes.has_v2() else "-"
    print(v1, v2)


main()
