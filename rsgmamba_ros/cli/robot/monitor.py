"""`rsgmamba monitor`: a terminal view of the running node."""
from __future__ import annotations

import argparse
from importlib.util import find_spec
import subprocess
import sys

from rsgmamba_ros.vocabulary.errors import BackendUnavailableError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('--once', action='store_true', help='print one table and end')
    parser.add_argument('--patience-s', type=float, default=15.0, help='time to wait for a node with --once')


def run(arguments: argparse.Namespace) -> int:
    """Run the node that shows the view, in this terminal; its exit status.

    Raises:
        BackendUnavailableError: ROS 2 is not there.
    """
    if find_spec('rclpy') is None:
        raise BackendUnavailableError('rclpy cannot be imported; source /opt/ros/$ROS_DISTRO/setup.bash first')
    command = [sys.executable, '-m', 'rsgmamba_ros.ros.tools.monitor', '--patience-s', str(arguments.patience_s)]
    child = subprocess.Popen(command + ['--once'] * arguments.once)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue  # the child gets it too, and ends in order
