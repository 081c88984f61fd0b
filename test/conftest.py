"""The environment of every test process, set before anything can import rclpy or torch."""
import os
from pathlib import Path
import sys
import tempfile

import pytest

ROOT = Path(__file__).resolve().parents[1]

os.environ.update({
    # Test processes see each other, and neither another test run on this machine nor the network.
    'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    'ROS_DOMAIN_ID': str(1 + os.getpid() % 100),
    'ROS_LOG_DIR': tempfile.mkdtemp(prefix='rsgmamba_ros_test_log_'),
    # Off by default in Jazzy, on in Humble: a message with a field of the wrong type fails here first.
    'ROS_PYTHON_CHECK_FIELDS': '1',
    # Without the larger segment, most best-effort VGA images are lost.
    'FASTRTPS_DEFAULT_PROFILES_FILE': str(ROOT / 'config' / 'fastdds.xml'),
    # The tests' images are small; more threads only wait for each other.
    'OMP_NUM_THREADS': '1',
})
os.environ.setdefault('AMENT_PREFIX_PATH', sys.prefix)  # the wheels'


@pytest.fixture(scope='session')
def project_root() -> Path:
    return ROOT
