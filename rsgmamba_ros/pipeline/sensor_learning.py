"""Learn a sensor while bundles are segmented: some of them, evenly spread over a time, become a profile.

Pure: time is an argument. The bundles come on the thread that runs the network, which takes one more encoder pass for
each of at most `REFERENCE_IMAGES`; the end comes on any other thread and waits for none of them.
"""
from __future__ import annotations

from threading import Lock

from rsgmamba_ros.pipeline.profiling import FigureSource, ProfileMaker, REFERENCE_IMAGES
from rsgmamba_ros.vocabulary.errors import ProfileError
from rsgmamba_ros.vocabulary.images import ImageBundle
from rsgmamba_ros.vocabulary.sensor_profile import SensorProfile


class SensorLearner:
    """Learns one sensor once. `offer` is for the thread that runs the network, `finish` for any.

    Args:
        seconds: over which the references are spread.
        now_ns: by a clock that never jumps, nanoseconds.
    """

    def __init__(self, source: FigureSource, *, seconds: float, now_ns: int):
        self._maker = ProfileMaker(source)
        self._start_ns = now_ns
        self._period_ns = seconds * 1e9 / REFERENCE_IMAGES
        self._is_finished = False
        self._error: ProfileError | None = None
        self._lock = Lock()

    def offer(self, bundle: ImageBundle, *, now_ns: int) -> None:
        """Take the bundle if the next reference is due."""
        due_ns = self._start_ns + self._maker.offered * self._period_ns
        if self._is_finished or self._error or self._maker.offered >= REFERENCE_IMAGES or now_ns < due_ns:
            return
        try:
            reference = self._maker.read(bundle)
        except ProfileError as error:
            self._error = error
            return
        with self._lock:
            if not self._is_finished:
                self._maker.take(reference)

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
