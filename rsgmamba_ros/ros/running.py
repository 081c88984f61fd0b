"""Running a node from start to end; every executable that is a node does it in the same way."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import signal
import sys
from types import FrameType
from typing import TypeVar

import rclpy
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import try_shutdown

from rsgmamba_ros.vocabulary.errors import RSGMambaError

NodeT = TypeVar('NodeT', bound=Node)


#: Ask a process to end.
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopFlag:
    """True from the first SIGINT or SIGTERM on. Must be made in the main thread."""

    def __init__(self) -> None:
        self.is_set = False
        for number in SIGNALS:
            signal.signal(number, self._set)

    def __bool__(self) -> bool:
        return self.is_set

    def _set(self, number: int, frame: FrameType | None) -> None:
        self.is_set = True


def run_node(name: str, create: Callable[[], NodeT], run: Callable[[NodeT, SingleThreadedExecutor], None], *,
             close: Callable[[NodeT], None], arguments: list[str] | None = None) -> int:
    """Create a node, run it and destroy it.

    SIGINT and SIGTERM interrupt `create` and `run`, and are no error. Where `run` has made a `StopFlag`, they only set
    that flag.

    Args:
        name: of the executable, for the line on stderr after an error.
        create: gives the node.
        run: takes the node and an executor that has it; returns when the node has finished.
        close: frees the resources of the node; called in any case once there is a node.
        arguments: of the process; `sys.argv` by default.

    Returns:
        The exit status: 0, or 1 after a known error, which is one line on stderr.
    """
    for number in SIGNALS:
        signal.signal(number, _interrupt_once)
    # rclpy's own handlers tear the context down under a thread that still waits on it, which now and then ends in a
    # segmentation fault at exit.
    try:
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # rclpy's own class is private: for example, a parameter file cannot be read
        print(f'{name}: {" ".join(str(error).split())}', file=sys.stderr)
        return 1
    try:
        node = create()
        with _on_executor(node, close) as executor:
            run(node, executor)
    except KeyboardInterrupt:
        pass
    except (RSGMambaError, InvalidParameterTypeException, InvalidParameterValueException) as error:
        print(f'{name}: {error}', file=sys.stderr)
        return 1
    finally:
        _ignore_signals()
        try_shutdown()
    return 0


def _interrupt_once(number: int, frame: FrameType | None) -> None:
    """Interrupt what runs now, and let no further signal interrupt the end that follows.

    Ctrl-C in a terminal reaches the whole process group, and launch sends a signal of its own as well.
    """
    _ignore_signals()
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    """Let the process end in peace; ignored, since Python gives its own handlers up at its end and would be killed."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def spin(executor: SingleThreadedExecutor, stop: StopFlag) -> None:
    """Run the callbacks of the executor's nodes until the process is told to stop."""
    while not stop:
        executor.spin_once(timeout_sec=0.1)


@contextmanager
def _on_executor(node: NodeT, close: Callable[[NodeT], None]) -> Iterator[SingleThreadedExecutor]:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        yield executor
    finally:
        _ignore_signals()  # a second signal must not interrupt what follows
        # In this order, or the process may abort at exit: the node's threads, the executor, the node, the context.
        try:
            close(node)
        finally:
            executor.shutdown()
            node.destroy_node()
