"""Colour encodings that this package does not decode itself: cv_bridge does, where it works.

cv_bridge of Ubuntu 24.04 is compiled for NumPy 1: beside NumPy 2 its import writes 30 lines and its first conversion
ends the process. So it is tried in a process of its own, once, when the first image needs it.
"""
from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
import logging
import subprocess
import sys

import numpy as np
from sensor_msgs.msg import Image

from rsgmamba_ros.vocabulary.errors import ImageError

_TRIAL = """
from cv_bridge import CvBridge
from sensor_msgs.msg import Image
image = Image(height=2, width=2, step=6, encoding='bgr8', data=[0] * 12)
assert CvBridge().imgmsg_to_cv2(image, 'rgb8').shape == (2, 2, 3)
"""
_TRIAL_S = 30.0

_log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def cv_bridge_problem() -> str:
    """Why an installed cv_bridge cannot be used; empty if it can, or is not installed."""
    if find_spec('cv_bridge') is None:
        return ''
    try:
        trial = subprocess.run([sys.executable, '-c', _TRIAL], capture_output=True, text=True, timeout=_TRIAL_S,
                               check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = trial.stderr.strip().splitlines()
    return f'status {trial.returncode}{f": {lines[-1].strip()}" if lines else ""}' if trial.returncode else ''


@lru_cache(maxsize=1)
def cv_bridge_works() -> bool:
    """Whether cv_bridge is installed and converts an image; a warning is logged if it is installed and does not."""
    problem = cv_bridge_problem()
    if problem:
        _log.warning('cv_bridge is installed but cannot be used (%s): it is left alone. It is usually built for '
                     'another major version of NumPy than %s; install NumPy of that version', problem, np.__version__)
    return not problem and find_spec('cv_bridge') is not None


def decode_with_cv_bridge(message: Image) -> tuple[np.ndarray, str]:
    """Give the pixels, (H, W, 3) uint8, and their encoding; call it only if `cv_bridge_works`.

    Raises:
        ImageError: cv_bridge cannot convert the encoding either.
    """
    from cv_bridge import CvBridge, CvBridgeError  # late: see the module
    try:
        return CvBridge().imgmsg_to_cv2(message, 'rgb8'), 'rgb8'
    except (CvBridgeError, TypeError, ValueError) as error:
        raise ImageError(f'rgb image has encoding {message.encoding!r}, which cv_bridge cannot convert either: '
                         f'{" ".join(str(error).split())}') from error
