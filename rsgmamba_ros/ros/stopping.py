"""Ending a node in order: the signal only raises a flag, and the main thread does the rest."""
from __future__ import annotations

import signal
from types import FrameType

from rclpy.signals import SignalHandlerOptions

#: For `rclpy.init`. Its own handlers tear the context down under a thread that still waits on it, which now and then
#: ends in a segmentation fault at exit.
NO_SIGNAL_HANDLERS = {'signal_handler_options': SignalHandlerOptions.NO}


class StopFlag:
    """True from the first SIGINT or SIGTERM on. To be made in the main thread."""

    def __init__(self) -> None:
        self.is_set = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._set)

    def __bool__(self) -> bool:
        return self.is_set

    def _set(self, number: int, frame: FrameType | None) -> None:
        self.is_set = True
