"""Learn a sensor while bundles are segmented: some of them, evenly spread over a time, become a profile.

Pure: time is an argument. The bundles come on the thread that runs the network. With each of them comes at most one
more encoder pass: for a reference if one is due, else for a failure that is inflicted on an earlier one. The end comes
on any other thread and waits for none of them.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from threading import Lock

import numpy as np

from rsgmamba_ros.pipeline.profiling import FigureSource, Inflict, ProfileMaker, REFERENCE_IMAGES
from rsgmamba_ros.vocabulary.errors import ProfileError
from rsgmamba_ros.vocabulary.images import ImageBundle
from rsgmamba_ros.vocabulary.sensor_profile import SensorProfile


class SensorLearner:
    """Learns one sensor once. `offer` is for the thread that runs the network, `finish` for any.

    Args:
        source: gives the figures.
        inflict: see `ProfileMaker`.
        seconds: over which the references are spread.
        now_ns: by a clock that never jumps, nanoseconds.
    """

    def __init__(self, source: FigureSource, inflict: Inflict, *, seconds: float, now_ns: int):
        self._maker = ProfileMaker(source, inflict)
        self._changes: deque[Iterator[tuple[str, np.ndarray]]] = deque()
        self._start_ns = now_ns
        self._period_ns = seconds * 1e9 / REFERENCE_IMAGES
        self._is_finished = False
        self._error: ProfileError | None = None
        self._lock = Lock()

    def offer(self, bundle: ImageBundle, *, now_ns: int) -> None:
        """Take the bundle if the next reference is due; else use the time for the failures of an earlier one."""
        if self._is_finished or self._error:
            return
        due_ns = self._start_ns + self._maker.offered * self._period_ns
        if self._maker.offered >= REFERENCE_IMAGES or now_ns < due_ns:
            self._inflict()
            return
        try:
            reference = self._maker.read(bundle)
        except ProfileError as error:
            self._error = error
            return
        with self._lock:
            number = self._maker.images
            if not self._is_finished:
                self._maker.take(reference)
            if self._maker.images > number:
                self._changes.append(self._maker.changes(reference, number))

    def _inflict(self) -> None:
        """Take one more failure of the oldest reference that has some left."""
        while self._changes:
            found = next(self._changes[0], None)
            if found is not None:
                with self._lock:
                    if not self._is_finished:
                        self._maker.take_change(*found)
                return
            self._changes.popleft()

    def finish(self, source: str) -> SensorProfile:
        """Make the profile of what came.

        Args:
            source: what the images were taken from, for people.

        Raises:
            ProfileError: see `ProfileMaker.make`.
        """
        with self._lock:
            self._is_finished = True
        if self._error is not None:
            raise self._error
        return self._maker.make(source)
