"""The data that is moved, its torrent, and torrents without data."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True)
class Payload:
    """A single file and its v1 torrent."""

    directory: Path
    name: str
    torrent: Path
    size: int
    piece_length: int
    sha1: str
    pieces: bytes

    @property
    def file(self) -> Path:
        return self.directory / self.name

    @property
    def gib(self) -> float:
        return self.size / GIB


def bencode(value) -> bytes:
    """The bencoding of ints, bytes, strings, lists and dictionaries."""
    match value:
        case int():
            return b"i%de" % value
        case str():
            return bencode(value.encode())
        case bytes():
            return b"%d:%s" % (len(value), value)
        case list():
            return b"l" + b"".join(map(bencode, value)) + b"e"
        case dict():
            items = sorted((key.encode() if isinstance(key, str) else key, item) for key, item in value.items())
            return b"d" + b"".join(bencode(key) + bencode(item) for key, item in items) + b"e"
    raise TypeError(type(value))


def bdecode(data: bytes, at: int = 0):
    """A value of bencoded `data` and where it ends. For files that contenders made."""
    kind = data[at : at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if kind in (b"l", b"d"):
        items, at = [], at + 1
        while data[at : at + 1] != b"e":
            item, at = bdecode(data, at)
            items.append(item)
        return (items if kind == b"l" else dict(zip(items[::2], items[1::2]))), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1 : end], end


def make(directory: Path, size: int, piece_length: int) -> Payload:
    """Writes `size` random bytes (the same for the same size) and their torrent."""
    name = f"payload-{size // MIB}"
    data = directory / "source"
    data.mkdir(parents=True, exist_ok=True)
    generator, whole, pieces = random.Random(size), hashlib.sha1(), []
    with open(data / name, "wb") as file:
        for start in range(0, size, piece_length):
            piece = generator.randbytes(min(piece_length, size - start))
            file.write(piece)
            whole.update(piece)
            pieces.append(hashlib.sha1(piece).digest())
    info = {"name": name, "piece length": piece_length, "length": size, "pieces": b"".join(pieces)}
    torrent = directory / f"{name}.torrent"
    torrent.write_bytes(bencode({"info": info}))
    return Payload(data, name, torrent, size, piece_length, whole.hexdigest(), b"".join(pieces))


def idle_torrents(directory: Path, count: int) -> list[Path]:
    """Torrents of one piece each, with no tracker and no data anywhere."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        pieces = hashlib.sha1(b"%d" % number).digest()
        info = {"name": f"idle-{number:06}", "piece length": 16384, "length": 16384, "pieces": pieces}
        path = directory / f"{number:06}.torrent"
        path.write_bytes(bencode({"info": info}))
        paths.append(path)
    return paths


def sha1_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()


def touch_pages(directory: Path, size: int) -> None:
    """Writes and removes `size` bytes, so that the pages a contender gets are at hand.

    A virtual machine with free page reporting gives freed pages back to its host, and the first
    touch afterwards costs several times the copy, to whoever happens to come first.
    """
    path = directory / "touched"
    block = bytes(MIB)
    with open(path, "wb") as file:
        for _ in range(0, size, MIB):
            file.write(block)
    path.unlink()


def empty(directory: Path) -> Path:
    """The directory, empty."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def settle_disk() -> None:
    """What earlier runs wrote is on disk, so that its writing does not fall into the next."""
    os.sync()
