"""Tests of the bench itself: `python3 -m unittest discover tests/bench`."""

import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import payload as data
import report
from clients import Used
from process import Cpu, Failed, Process
from workloads import Row

BUSY = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"
# The child of the process uses the CPU.
BUSY_CHILD = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY!r}])\n"


class Measuring(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.log = Path(scratch.name) / "log"

    def start(self, program: str) -> Process:
        process = Process([sys.executable, "-c", program], self.log)
        self.addCleanup(process.stop)
        return process

    def test_counts_the_cpu_of_a_program_and_of_its_children(self):
        for program in (BUSY, BUSY_CHILD):
            process = self.start(program)
            process.wait(30)
            self.assertGreater(process.cpu().total, 0.29)
            self.assertLess(process.cpu().total, 3)

    def test_counts_the_cpu_of_a_program_that_goes_on(self):
        process = self.start(BUSY + "print('done', flush=True)\nimport time; time.sleep(30)")
        process.wait_for_line("done", 30)
        self.assertGreater(process.cpu().total, 0.28)

    def test_sees_anonymous_memory(self):
        process = self.start("held = bytearray(64 << 20)\nprint('held', flush=True)\nimport time; time.sleep(30)")
        process.wait_for_line("held", 30)
        self.assertGreater(process.anon_now(), 64 << 20)
        process.wait_until(lambda: process.anon_peak > 64 << 20, 10, "sample")

    def test_a_program_that_fails_or_takes_too_long_is_an_exception(self):
        with self.assertRaisesRegex(Failed, "ended with 3: words"):
            self.start("import sys\nprint('words')\nsys.exit(3)").wait(30)
        with self.assertRaisesRegex(Failed, "did not end within"):
            self.start("import time; time.sleep(30)").wait(0.1)

    def test_stopping_ends_the_program(self):
        process = self.start("import time; time.sleep(30)")
        started = time.monotonic()
        process.stop()
        self.assertFalse(process.running())
        self.assertLess(time.monotonic() - started, 5)


class Data(unittest.TestCase):
    def test_bencode_is_read_back(self):
        value = {b"a": 1, b"b": [b"x", -2, {}], b"c": b""}
        self.assertEqual(data.bencode(value), b"d1:ai1e1:bl1:xi-2edee1:c0:e")
        self.assertEqual(data.bdecode(data.bencode(value)), (value, 27))

    def test_a_payload_is_the_same_each_time_and_has_the_sha1_that_it_says(self):
        with tempfile.TemporaryDirectory() as scratch:
            first = data.make(Path(scratch) / "a", 3 * data.MIB + 5, data.MIB)
            second = data.make(Path(scratch) / "b", 3 * data.MIB + 5, data.MIB)
            self.assertEqual(first.torrent.read_bytes(), second.torrent.read_bytes())
            self.assertEqual(data.sha1_of(first.file), first.sha1)
            self.assertEqual(len(first.pieces), 4 * 20)


class Tables(unittest.TestCase):
    def test_the_leanest_contender_comes_first_and_failures_are_told(self):
        used = lambda user: Used(Cpu(user, 1.0), 2.0, data.MIB, data.MIB)
        rows = [
            Row("download", "tmpfs", "slow", used(3.0), 1.0),
            Row("download", "tmpfs", "lean", used(0.5), 1.0),
            Row("download", "tmpfs", "lean", used(0.25), 1.0),
            Row("download", "tmpfs", "broken", None, 0.0, "it broke"),
        ]
        text = report.markdown(rows, ["download"], ["tmpfs"])
        lines = [line for line in text.splitlines() if line.startswith("| ")][1:]
        self.assertEqual([line.split(" | ")[0] for line in lines], ["| lean", "| slow", "| broken"])
        self.assertIn("| lean | 2/2 | **1.25** | 1.38 [1.25-1.50] | 0.38 | 1.00 | 2.00 | 2.00 | 512 | 1 | 1 |", lines)
        self.assertIn("- download, tmpfs, broken: it broke", text)


if __name__ == "__main__":
    unittest.main()
