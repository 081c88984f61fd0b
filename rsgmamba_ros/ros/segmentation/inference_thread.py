"""The one thread that runs the network, behind a queue in which the newest bundle wins."""
from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
import traceback

from rsgmamba_ros.vocabulary.images import ImageBundle


class InferenceThread:
    """Calls `work` with bundles, oldest first, outside of any lock.

    Args:
        work: takes one bundle and handles its own errors; an exception is printed, and the thread goes on.
        forget: called on this thread before the next bundle after `clear`.
        queue_size: bundles that may wait while the network is busy. Each adds at most one inference to the latency; a
            queue of a few lets a short stall pass without a loss, and more only delays.
    """

    def __init__(self, work: Callable[[ImageBundle], None], *, forget: Callable[[], None], queue_size: int = 1):
        if queue_size < 1:
            raise ValueError(f'queue_size is {queue_size}; at least 1 is needed')
        self._work = work
        self._forget = forget
        self._queue: deque[ImageBundle] = deque()
        self._queue_size = queue_size
        self._must_forget = False
        self._is_stopping = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name='inference')
        self._thread.start()

    def put(self, bundle: ImageBundle) -> int:
        """Add a bundle; the number of older ones that were dropped for it, 0 or 1."""
        with self._changed:
            superseded = 0
            if len(self._queue) >= self._queue_size:
                self._queue.popleft()
                superseded = 1
            self._queue.append(bundle)
            self._changed.notify()
        return superseded

    def clear(self) -> int:
        """Drop waiting bundles and forget earlier images, as after a jump back in time; the number dropped."""
        with self._changed:
            dropped = len(self._queue)
            self._queue.clear()
            self._must_forget = True
        return dropped

    def stop(self) -> int:
        """Finish the bundle in work, drop the rest and end the thread; the number dropped."""
        with self._changed:
            dropped = len(self._queue)
            self._queue.clear()
            self._is_stopping = True
            self._changed.notify()
        self._thread.join()
        return dropped

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._is_stopping)
                if self._is_stopping:
                    return
                bundle = self._queue.popleft()
                must_forget, self._must_forget = self._must_forget, False
            try:
                if must_forget:
                    self._forget()
                self._work(bundle)
            except Exception:
                traceback.print_exc()
