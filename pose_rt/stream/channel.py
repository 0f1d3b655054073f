"""A bounded queue between two threads that either makes the writer wait or keeps the newest item only."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")


class Channel(Generic[T]):
    """One writer, one reader, at most `capacity` items between them.

    Args:
        capacity: items that may wait, at least 1.
        newest_only: a full channel throws away its oldest item (counted in `dropped`) instead of making the writer wait.
    """

    def __init__(self, capacity: int, *, newest_only: bool = False) -> None:
        if capacity < 1:
            raise ValueError(f"capacity: got {capacity}, wanted at least 1")
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._newest_only = newest_only
        self._finished = False
        self._aborted = False
        self._changed = Condition()
        self.dropped = 0

    def put(self, item: T) -> bool:
        """Hand one item over; False means that nobody will take it any more."""
        with self._changed:
            if not self._newest_only:
                self._changed.wait_for(lambda: len(self._items) < self._capacity or self._finished)
            if self._finished:
                return False
            if len(self._items) == self._capacity:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._changed.notify_all()
            return True

    def finish(self) -> None:
        """Let the reader take what waits, and no more come."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def abort(self) -> None:
        """End both sides now; what waits is thrown away."""
        with self._changed:
            self._finished = self._aborted = True
            self._items.clear()
            self._changed.notify_all()

    @property
    def aborted(self) -> bool:
        return self._aborted

    def take(self, timeout_s: float | None = None) -> T:
        """The oldest item, as soon as there is one.

        Raises:
            TimeoutError: none came within `timeout_s`.
            EOFError: none will ever come.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._items or self._finished, timeout_s):
                raise TimeoutError
            if not self._items:
                raise EOFError
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def __iter__(self) -> Iterator[T]:
        while True:
            try:
                item = self.take()
            except EOFError:
                return
            yield item
