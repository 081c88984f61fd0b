"""Sorts messages by their header stamps, for bags whose log times are useless: converted or simulated bags."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
import heapq
from typing import Literal, TypeAlias, TypeVar

import numpy as np

#: Which time orders the messages: that of their recording, or that of their header.
OrderBy: TypeAlias = Literal['log', 'header']
ORDERS: tuple[OrderBy, ...] = ('log', 'header')

Item = TypeVar('Item')


def in_order_of_stamps(items: Iterable[Item | None], stamps_ns: Sequence[int | None]) -> Iterator[Item]:
    """Sort a stream by its stamps. An item is kept only until no item with a lower stamp can follow.

    Args:
        items: the stream; None for a message that could not be read.
        stamps_ns: stamp of each item, nanoseconds, in the order of the stream, from an earlier pass; None if unknown.
    """
    latest = np.iinfo(np.int64).max
    stamps = np.array([latest if stamp is None else stamp for stamp in stamps_ns], np.int64)
    # The lowest stamp that is still to come after each item.
    lowest_to_come = np.append(np.minimum.accumulate(stamps[::-1])[::-1][1:], latest)
    waiting: list[tuple[int, int, Item]] = []
    for index, item in enumerate(items):
        if item is not None and index < len(stamps):
            heapq.heappush(waiting, (int(stamps[index]), index, item))
        limit = lowest_to_come[min(index, len(lowest_to_come) - 1)]
        while waiting and waiting[0][0] <= limit:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]
