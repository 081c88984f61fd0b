"""Child processes that run this package's nodes; all are ended with the parent."""
from __future__ import annotations

from pathlib import Path
import signal
import subprocess
import sys
from types import TracebackType

from rsgmamba_ros.vocabulary.errors import RSGMambaError


class ProcessError(RSGMambaError, RuntimeError):
    """A child process ended when it should not have."""


class ProcessGroup:
    """A context manager that starts this package's nodes, each with a log file, and leaves none behind.

    Args:
        log_folder: holds the output of each child in `<name>.log`.
        environment: of the children.
    """

    def __init__(self, log_folder: Path, environment: dict[str, str]):
        self.log_folder = log_folder
        self._environment = environment
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> ProcessGroup:
        self.log_folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        for name in list(self._children):
            self.stop(name)

    def start(self, name: str, module: str, parameters: dict[str, object]) -> None:
        """Run a module of `rsgmamba_ros.ros` as a node with parameters."""
        options = [text for key, value in parameters.items() for text in ('-p', f'{key}:={_yaml(value)}')]
        with self.log_file(name).open('wb') as log:
            # A session of its own: Ctrl-C in the terminal comes to the parent, which ends the children in order.
            self._children[name] = subprocess.Popen(
                [sys.executable, '-m', f'rsgmamba_ros.ros.{module}', '--ros-args', *options], stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, env=self._environment, start_new_session=True)

    def log_file(self, name: str) -> Path:
        """The file with a child's output."""
        return self.log_folder / f'{name}.log'

    def log(self, name: str) -> str:
        """A child's output so far."""
        return self.log_file(name).read_text(encoding='utf-8', errors='replace')

    def is_running(self, name: str) -> bool:
        """Whether a child has not ended yet."""
        return self._children[name].poll() is None

    def check(self, *, may_end: str = '') -> None:
        """Make sure that all children run.

        Args:
            may_end: a child that may also have ended well.

        Raises:
            ProcessError: one has ended.
        """
        for name, child in self._children.items():
            status = child.poll()
            if status is not None and not (name == may_end and status == 0):
                lines = self.log(name).strip().splitlines()
                raise ProcessError(f'the {name} process ended with status {status}: '
                                   f'{lines[-1] if lines else "it wrote nothing"} (see {self.log_file(name)})')

    def stop(self, name: str, *, patience_s: float = 10.0) -> None:
        """Ask a child to end as Ctrl-C does; kill it if it does not in time."""
        child = self._children.pop(name)
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
        try:
            child.wait(patience_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _yaml(value: object) -> str:
    """A parameter value as `--ros-args -p` reads it; a string stays one whatever it looks like."""
    return f"'{value}'" if isinstance(value, str) else str(value).lower()
