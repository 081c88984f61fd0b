"""A camera for soak.py: publishes textures, and writes down when each was captured and with which stamp.

SIGUSR1 sets its clock 0.2 s ahead of the true time, SIGUSR2 sets it right again.
"""
from __future__ import annotations

import argparse
import signal
import time

import numpy as np
import rclpy
from sensor_msgs.msg import Image

from rsgmamba_ros.ros.conversions import image_message
from rsgmamba_ros.ros.qos import RELIABLE, SENSOR_DATA

#: Different textures; a single one would be a frozen image.
_TEXTURES = 8
_STEP_NS = 200_000_000


def textures(modality: str, height: int, width: int) -> list[np.ndarray]:
    """Images with the noise of a camera, (H, W, 3) uint8 or (H, W) uint16 millimetres."""
    rng = np.random.default_rng(0)
    base = rng.integers(20, 230, (height, width, 3), dtype=np.uint8)
    images = [np.roll(base, 3 * index, axis=1) + rng.integers(0, 4, base.shape, dtype=np.uint8)
              for index in range(_TEXTURES)]
    return images if modality == 'rgb' else [1000 + 10 * image[..., 0].astype(np.uint16) for image in images]


def main() -> None:
    """Publish until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('modality', choices=['rgb', 'depth'])
    parser.add_argument('log', help='file to which `true stamp` is added for each image, nanoseconds')
    parser.add_argument('--hz', type=float, default=10.0)
    parser.add_argument('--height', type=int, default=48)
    parser.add_argument('--width', type=int, default=64)
    parser.add_argument('--best-effort', action='store_true')
    arguments = parser.parse_args()
    offset = [0]
    signal.signal(signal.SIGUSR1, lambda *_: offset.__setitem__(0, _STEP_NS))
    signal.signal(signal.SIGUSR2, lambda *_: offset.__setitem__(0, 0))
    images = textures(arguments.modality, arguments.height, arguments.width)
    encoding = 'rgb8' if arguments.modality == 'rgb' else '16UC1'
    rclpy.init(signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    node = rclpy.create_node(f'camera_{arguments.modality}')
    publisher = node.create_publisher(Image, f'{arguments.modality}/image',
                                      SENSOR_DATA if arguments.best_effort else RELIABLE)
    period_ns = round(1e9 / arguments.hz)
    with open(arguments.log, 'a', encoding='utf-8', buffering=1) as log:
        while True:
            # Both cameras capture at multiples of the period, as synchronised ones do.
            time.sleep((period_ns - time.time_ns() % period_ns) * 1e-9)
            true_ns = time.time_ns() // period_ns * period_ns
            stamp_ns = true_ns + offset[0]
            log.write(f'{true_ns} {stamp_ns}\n')
            publisher.publish(image_message(images[true_ns // period_ns % _TEXTURES], encoding, stamp_ns=stamp_ns,
                                            frame_id='camera'))


if __name__ == '__main__':
    main()
