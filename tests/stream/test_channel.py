"""The channel: order, back pressure, newest-only, and both ways to end."""

from __future__ import annotations

import threading
import time

import pytest

from pose_rt.stream import Channel


def test_a_blocking_channel_keeps_order_and_makes_the_writer_wait() -> None:
    channel: Channel[int] = Channel(3)
    most = 0
    accepted = 0

    def write() -> None:
        nonlocal accepted
        for i in range(200):
            assert channel.put(i)
            accepted += 1
        channel.finish()

    thread = threading.Thread(target=write)
    thread.start()
    got = []
    for item in channel:
        got.append(item)
        most = max(most, accepted - len(got))
    thread.join(5)
    assert got == list(range(200)) and channel.dropped == 0
    assert most <= 3 + 1


def test_a_newest_only_channel_never_waits_and_counts_what_it_drops() -> None:
    channel: Channel[int] = Channel(1, newest_only=True)
    assert all(channel.put(i) for i in range(5))
    channel.finish()
    assert list(channel) == [4] and channel.dropped == 4


def test_finish_lets_the_reader_drain_and_abort_does_not() -> None:
    finished: Channel[int] = Channel(4)
    aborted: Channel[int] = Channel(4)
    for channel in (finished, aborted):
        channel.put(1)
        channel.put(2)
    finished.finish()
    aborted.abort()
    assert list(finished) == [1, 2] and list(aborted) == []
    assert not finished.put(3) and not aborted.put(3) and aborted.aborted and not finished.aborted


@pytest.mark.parametrize("end", ["finish", "abort"])
def test_ending_wakes_a_waiting_writer_and_a_waiting_reader(end: str) -> None:
    full: Channel[int] = Channel(1)
    full.put(0)
    empty: Channel[int] = Channel(1)
    results: list[object] = []
    threads = [threading.Thread(target=lambda: results.append(full.put(1))), threading.Thread(target=lambda: results.append(list(empty)))]
    for thread in threads:
        thread.start()
    time.sleep(0.02)
    getattr(full, end)()
    getattr(empty, end)()
    for thread in threads:
        thread.join(5)
    assert sorted(map(str, results)) == ["False", "[]"]


def test_capacity_is_checked() -> None:
    with pytest.raises(ValueError, match="wanted at least 1"):
        Channel(0)
