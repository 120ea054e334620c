"""Tables of the runs, in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from payload import MIB
from workloads import Row

TITLES = {
    "download": "W1: download from one libtorrent seeder",
    "pair": "W1b: download from another process of the same client",
    "seed": "W3: seeding to one libtorrent leecher",
    "verify": "W4: recheck, any core",
    "create": "W6: create, any core",
    "idle": "W5: torrents without data",
}


def markdown(rows: list[Row], workloads: list[str], media: list[str]) -> str:
    """One table for each workload and medium that was run."""
    parts = []
    for workload in workloads:
        for medium in media:
            chosen = [row for row in rows if (row.workload, row.medium) == (workload, medium)]
            if chosen:
                parts.append(f"### {TITLES[workload]}, {medium}\n\n" + _table(chosen, workload))
    failures = sorted({f"- {row.workload}, {row.medium}, {row.client}: {row.failure}" for row in rows if row.failure})
    if failures:
        parts.append("### Runs that failed\n\n" + "\n".join(failures) + "\n")
    return "\n".join(parts)


def _table(rows: list[Row], workload: str) -> str:
    head, line = (_IDLE_HEAD, _idle_line) if workload == "idle" else (_HEAD, _line)
    by_client: dict[str, list[Row]] = {}
    for row in rows:
        by_client.setdefault(row.client, []).append(row)
    lines = sorted((line(name, runs) for name, runs in by_client.items()), key=lambda pair: pair[0])
    return head + "".join(text for _, text in lines)


_HEAD = (
    "| contender | ok | CPU s/GiB min | median [min-max] | user | sys "
    "| wall s min | median | MiB/s | peak RSS MiB | anon MiB |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|\n"
)


def _line(name: str, runs: list[Row]) -> tuple[float, str]:
    good = [run for run in runs if run.used]
    ok = f"{len(good)}/{len(runs)}"
    if not good:
        return float("inf"), f"| {name} | {ok} | | | | | | | | | |\n"
    gib = good[0].gib
    cost = lambda pick: [pick(run.used) / gib for run in good]
    total, wall = cost(lambda used: used.cpu.total), [run.used.wall for run in good]
    median = statistics.median
    cells = [
        f"**{min(total):.2f}**",
        f"{median(total):.2f} [{min(total):.2f}-{max(total):.2f}]",
        f"{median(cost(lambda used: used.cpu.user)):.2f}",
        f"{median(cost(lambda used: used.cpu.sys)):.2f}",
        f"{min(wall):.2f}",
        f"{median(wall):.2f}",
        f"{gib * 1024 / median(wall):.0f}",
        _mib(good, lambda used: used.rss),
        _mib(good, lambda used: used.anon),
    ]
    return min(total), f"| {name} | {ok} | {' | '.join(cells)} |\n"


_IDLE_HEAD = (
    "| contender | ok | add wall s | add CPU s | anon MiB | added bytes per torrent | idle CPU % of a core |\n"
    "|---|---|---|---|---|---|---|\n"
)


def _idle_line(name: str, runs: list[Row]) -> tuple[float, str]:
    good = [run for run in runs if run.used]
    ok = f"{len(good)}/{len(runs)}"
    if not good:
        return float("inf"), f"| {name} | {ok} | | | | | |\n"
    median: Callable = lambda pick: statistics.median(pick(run.used) for run in good)
    cells = [
        f"{median(lambda used: used.wall):.2f}",
        f"{median(lambda used: used.cpu.total):.2f}",
        f"{median(lambda used: used.anon) / MIB:.0f}",
        f"{median(lambda used: used.extra['bytes_per_torrent']):.0f}",
        f"{median(lambda used: used.extra['idle_percent']):.2f}",
    ]
    return median(lambda used: used.anon), f"| {name} | {ok} | {' | '.join(cells)} |\n"


def _mib(runs: list[Row], pick) -> str:
    return f"{max(pick(run.used) for run in runs) / MIB:.0f}"
