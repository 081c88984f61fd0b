"""Images lost between a camera process and the node's subscription, with and without the shipped profile.

Each row runs a camera of its own (640x480 colour at 30 Hz by default) and counts what arrives of what it published,
after the subscription has settled. Run: python benchmarks/transport.py [--seconds 10] [--size 480x640] [--json]
"""
from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
import json
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.utilities import try_shutdown

from rsgmamba_ros.ros.conversions import nanoseconds
from rsgmamba_ros.ros.segmentation.subscriptions import InputListener, InputSubscription
from rsgmamba_ros.vocabulary.images import Modality

_PROFILE = 'FASTRTPS_DEFAULT_PROFILES_FILE'
ROOT = Path(__file__).resolve().parents[1]

#: Time for the subscription to follow the publisher, seconds.
_SETTLE_S = 2.0


@dataclass(frozen=True)
class Row:
    """One row: what the camera offers and is started with, what the node asks for, and the share that was lost."""

    camera: str
    profile: str
    input_qos: str
    published: int = 0
    lost: float = 0.0


ROWS = tuple(Row(camera, profile, input_qos) for profile in ('stock', 'config/fastdds.xml')
             for camera, input_qos in (('best effort', 'auto'), ('reliable', 'sensor_data'), ('reliable', 'auto')))


def measure(row: Row, *, seconds: float, height: int, width: int, hz: float) -> Row:
    """Run one row."""
    environment = {name: value for name, value in os.environ.items() if name != _PROFILE}
    if row.profile != 'stock':
        environment[_PROFILE] = str(ROOT / row.profile)
    arrived: set[int] = set()
    node = rclpy.create_node('transport')
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    listener = InputListener(lambda modality, message: arrived.add(nanoseconds(message.header.stamp)),
                             lambda modality, text: None, lambda modality, count: None)
    subscription = InputSubscription(node, Modality.RGB, transport='raw', input_qos=row.input_qos, listener=listener)
    node.create_timer(0.5, subscription.follow_publishers)
    with tempfile.NamedTemporaryFile() as log:
        command = [sys.executable, str(ROOT / 'benchmarks' / 'soak_camera.py'), 'rgb', log.name, '--hz', str(hz),
                   '--height', str(height), '--width', str(width)]
        camera = subprocess.Popen(command + ['--best-effort'] * (row.camera == 'best effort'), env=environment)
        try:
            end = time.monotonic() + 60
            while not arrived and time.monotonic() < end:
                executor.spin_once(timeout_sec=0.1)
            start_ns = time.time_ns() + round(_SETTLE_S * 1e9)
            while time.time_ns() < start_ns + round(seconds * 1e9):
                executor.spin_once(timeout_sec=0.1)
            end_ns = time.time_ns()
            executor.spin_once(timeout_sec=0.5)  # the last ones are on their way
        finally:
            camera.kill()
            camera.wait()
            subscription.destroy()
            executor.shutdown()
            node.destroy_node()
        stamps = [int(line.split()[1]) for line in Path(log.name).read_text(encoding='utf-8').splitlines()]
    published = [stamp for stamp in stamps if start_ns <= stamp < end_ns - 500_000_000]
    lost = sum(stamp not in arrived for stamp in published)
    return Row(row.camera, row.profile, row.input_qos, len(published), lost / len(published) if published else 1.0)


def main() -> None:
    """Run every row and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seconds', type=float, default=10.0)
    parser.add_argument('--size', default='480x640')
    parser.add_argument('--hz', type=float, default=30.0)
    parser.add_argument('--json', action='store_true')
    arguments = parser.parse_args()
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    os.environ.pop(_PROFILE, None)  # the publisher's profile decides
    height, width = map(int, arguments.size.split('x'))
    rclpy.init()
    try:
        rows = [measure(row, seconds=arguments.seconds, height=height, width=width, hz=arguments.hz) for row in ROWS]
    finally:
        try_shutdown()
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return
    for row in rows:
        print(f'{row.camera:12} {row.profile:20} input_qos {row.input_qos:12} {100 * row.lost:5.1f} % of '
              f'{row.published}')


if __name__ == '__main__':
    main()
