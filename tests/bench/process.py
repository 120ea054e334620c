"""Starts programs on a given core and measures what they and their children use.

Only processes that were started here are ever signalled. CPU time comes from the kernel: from
`wait4` where the program ends by itself, from `/proc/PID/stat` (ticks of 10 ms, but true to the
scheduler's account) where it goes on running.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")

# How often memory is looked at. A peak of the resident set is the kernel's own record.
MEMORY_SAMPLE_S = 0.05

# A process that used at most one tick in this time is taken to be at rest.
REST_S = 0.4

STOP_GRACE_S = 10

# Before the bench binds itself to one of them.
ALL_CORES = os.sched_getaffinity(0)


@dataclass(frozen=True)
class Cpu:
    """CPU-seconds, user and system apart."""

    user: float = 0.0
    sys: float = 0.0

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(max(0.0, self.user - other.user), max(0.0, self.sys - other.sys))

    def __add__(self, other: Cpu) -> Cpu:
        return Cpu(self.user + other.user, self.sys + other.sys)

    @property
    def total(self) -> float:
        return self.user + self.sys


class Failed(Exception):
    """A contender did not do the work; the sentence goes into the table's notes."""


class Process:
    """A program with its children, in a process group of its own."""

    _alive: set[Process] = set()

    def __init__(self, command: list[str], log: Path, core: int | None = None, env: dict[str, str] | None = None):
        self.name = Path(command[0]).name
        self.log = log
        self.core = core
        self.rss_peak = 0
        self.anon_peak = 0
        self.returncode: int | None = None
        self._rusage = None
        log.parent.mkdir(parents=True, exist_ok=True)
        self.started = time.monotonic()
        with open(log, "wb") as sink:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(env or {})},
                # The bench has bound itself to a core, and its children would inherit that.
                preexec_fn=lambda: os.sched_setaffinity(0, ALL_CORES if core is None else {core}),
            )
        self.pid = self.popen.pid
        self._pidfd = os.pidfd_open(self.pid)
        Process._alive.add(self)
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample_memory, daemon=True)
        self._sampler.start()

    # What it uses

    def tree(self) -> list[int]:
        """The process and its living descendants."""
        pids, found = [self.pid], []
        while pids:
            pid = pids.pop()
            found.append(pid)
            for task in _list(f"/proc/{pid}/task"):
                pids += map(int, _read(f"/proc/{pid}/task/{task}/children").split())
        return found

    def cpu(self) -> Cpu:
        """What the tree used so far, children that ended included."""
        if self._rusage is not None:
            return Cpu(self._rusage.ru_utime, self._rusage.ru_stime)
        user = system = 0
        for pid in self.tree():
            fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
            if fields:
                user += int(fields[11]) + int(fields[13])
                system += int(fields[12]) + int(fields[14])
        return Cpu(user * TICK_S, system * TICK_S)

    def anon_now(self) -> int:
        """Anonymous memory of the tree, in bytes."""
        return sum(_status(pid, "RssAnon") for pid in self.tree())

    def forget_peaks(self) -> None:
        """Peaks count from now on. (Writing 5 makes the kernel forget its record.)"""
        for pid in self.tree():
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        self.rss_peak = self.anon_peak = 0

    def _sample_memory(self) -> None:
        while not self._ended.wait(MEMORY_SAMPLE_S):
            pids = self.tree()
            self.anon_peak = max(self.anon_peak, sum(_status(pid, "RssAnon") for pid in pids))
            self.rss_peak = max(self.rss_peak, sum(_status(pid, "VmHWM") for pid in pids))

    # Its life

    def running(self) -> bool:
        return self.returncode is None and not select.select([self._pidfd], [], [], 0)[0]

    def wait(self, timeout: float) -> float:
        """Waits for the end; the seconds from start to end. A failure is an exception."""
        if not select.select([self._pidfd], [], [], max(0.0, self.started + timeout - time.monotonic()))[0]:
            raise Failed(f"{self.name} did not end within {timeout:.0f} s")
        wall = time.monotonic() - self.started
        self._reap()
        if self.returncode != 0:
            raise Failed(f"{self.name} ended with {self.returncode}: {self.last_words()}")
        return wall

    def stop(self, first: signal.Signals = signal.SIGTERM) -> None:
        """Ends the process group, by force after a grace."""
        if self.returncode is not None:
            return
        for number in (first, signal.SIGKILL):
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                pass
            if select.select([self._pidfd], [], [], STOP_GRACE_S)[0]:
                break
        self._reap()

    def _reap(self) -> None:
        if self.returncode is not None:
            return
        _, status, self._rusage = os.wait4(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        self.popen.returncode = self.returncode
        self.rss_peak = max(self.rss_peak, self._rusage.ru_maxrss * 1024)
        self._ended.set()
        if self.popen.stdin:
            self.popen.stdin.close()
        self._sampler.join()
        os.close(self._pidfd)
        Process._alive.discard(self)

    def tell(self, line: str) -> None:
        """Writes a line to its standard input."""
        assert self.popen.stdin
        self.popen.stdin.write(line.encode() + b"\n")
        self.popen.stdin.flush()

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " / ".join(lines[-3:])[-400:] or "it said nothing"

    def wait_for_line(self, start: str, timeout: float) -> str:
        """Waits until a line of its output begins with `start`, and gives the rest of it."""

        def find() -> str | None:
            for line in self.log.read_text(errors="replace").splitlines():
                if line.startswith(start):
                    return line[len(start) :].strip()
            return None

        return self.wait_until(find, timeout, f"'{start}'")

    def wait_until(self, condition, timeout: float, what: str, every: float = 0.02):
        """Polls `condition` until it gives something other than `None` or `False`."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            found = condition()
            if found is not None and found is not False:
                return found
            if not self.running():
                raise Failed(f"{self.name} ended before {what}: {self.last_words()}")
            time.sleep(every)
        raise Failed(f"{self.name}: no {what} within {timeout:.0f} s: {self.last_words()}")

    def rest(self, timeout: float) -> None:
        """Waits until it does nothing: what it does at start is then over."""
        end = time.monotonic() + timeout
        before = self.cpu().total
        while time.monotonic() < end:
            time.sleep(REST_S)
            now = self.cpu().total
            if now - before <= 1.5 * TICK_S:
                return
            before = now
        raise Failed(f"{self.name} did not come to rest within {timeout:.0f} s")


@atexit.register
def _stop_all() -> None:
    for process in list(Process._alive):
        process.stop(signal.SIGKILL)


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def _list(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def _status(pid: int, field: str) -> int:
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0
