"""Work beside the network's, on threads of their own and in order: what comes before it, and what comes after it."""
from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Queue
from threading import Thread
from typing import Any, TypeVar

Item, Result = TypeVar('Item'), TypeVar('Result')

#: Tasks that may wait: enough for the next image to be segmented meanwhile, and few enough to hold in memory.
_WAITING = 4


class Worker:
    """Calls what it is given, one after another.

    An exception ends the work: what was waiting is dropped, and the exception is raised by the next call.
    """

    def __init__(self) -> None:
        self._tasks: Queue[Callable[[], Any] | None] = Queue(_WAITING)
        self._error: BaseException | None = None
        # A daemon: a process that is interrupted twice must not wait for it.
        self._thread = Thread(target=self._run, name='worker', daemon=True)
        self._thread.start()

    def submit(self, task: Callable[[], Any]) -> None:
        """Have a task done; waits while too many are waiting.

        Raises:
            whatever an earlier task raised.
        """
        self._raise()
        self._tasks.put(task)

    def finish(self) -> None:
        """Wait for everything that was submitted, and end the thread.

        Raises:
            whatever a task raised.
        """
        if self._thread.is_alive():
            self._tasks.put(None)
            self._thread.join()
        self._raise()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self) -> None:
        failed = False
        while (task := self._tasks.get()) is not None:
            if failed:
                continue
            try:
                task()
            except BaseException as error:  # it is raised where the work was ordered
                self._error, failed = error, True


def call_ahead(function: Callable[[Item], Result], items: Iterable[Item], *, limit: int) -> Iterator[Result]:
    """The results of a function, in the order of the items; up to `limit` are worked out before they are wanted.

    The items are taken on the caller's thread: an SQLite bag may be read on no other.

    Raises:
        whatever the function raises, where its result would have been.
    """
    with ThreadPoolExecutor(1, 'call ahead') as pool:
        pending: deque[Future[Result]] = deque()
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > limit:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
