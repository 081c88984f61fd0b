"""Work that need not be waited for: done on one thread, in order, while the network runs on."""
from __future__ import annotations

from collections.abc import Callable
from queue import Queue
from threading import Thread
from typing import Any

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
