"""What a live run says on the terminal: the state of its source while it goes on, and its figures at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from pose_rt.core.types import Packet
    from pose_rt.stream.protocols import Status
    from pose_rt.stream.runner import RunReport


class StateLines:
    """A view that writes a line whenever the source is lost, stalls or comes back."""

    def __init__(self, name: str) -> None:
        self._name, self._state = name, "open"
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)

    def write(self, packet: Packet) -> None:
        pass

    def tick(self, status: Status) -> None:
        if status.state == self._state:
            return
        words = {"open": "is back", "stalled": "gives no pictures", "lost": "is lost, connecting again"}
        self._console.print(f"{self._name} {words[status.state]}", markup=False)
        self._state = status.state

    def close(self) -> None:
        pass


def print_report(report: RunReport) -> None:
    """Frames, rate, ages and stages of a finished run."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    share = 100 * report.dropped / report.read if report.read else 0.0
    console.print(
        f"read {report.read}, processed {report.processed}, dropped {report.dropped} ({share:.1f} %), "
        f"{report.result_fps:.1f} results a second over {report.wall_s:.1f} s"
    )
    if not report.latency_ms:
        return
    table = Table("ms", "p50", "p95", "p99", "max", box=None, pad_edge=False, header_style="none")
    for name, figures in (("capture to result, look-ahead left out", report.work_ms), ("age when shown and saved", report.latency_ms)):
        table.add_row(name, *(f"{figures[rank]:.1f}" for rank in ("p50", "p95", "p99", "max")))
    console.print(table)
    stages = ", ".join(f"{stage} {taken:.1f}" for stage, taken in report.stage_ms.items())
    console.print(f"look-ahead {report.wait_ms:.1f} ms; stages (mean ms): {stages}")
    if report.interrupted:
        console.print("interrupted: the outputs hold what was done until then")
