"""A cache of values with a bound on their bytes, for readers that several threads share."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class BoundedCache(Generic[V]):
    """Keeps the values last used while their sizes sum to at most `max_bytes`; the newest always stays."""

    def __init__(self, max_bytes: int, *, size_bytes: Callable[[V], int]) -> None:
        self._max_bytes = max_bytes
        self._size_bytes = size_bytes
        self._num_bytes = 0
        self._values: OrderedDict[str, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str, load: Callable[[], V]) -> V:
        """Return the value of `key`, loading it where it is not there; two threads may load the same one."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = load()
        with self._lock:
            if key not in self._values:
                self._values[key] = value
                self._num_bytes += self._size_bytes(value)
            while self._num_bytes > self._max_bytes and len(self._values) > 1:
                _, oldest = self._values.popitem(last=False)
                self._num_bytes -= self._size_bytes(oldest)
        return value
