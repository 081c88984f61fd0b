"""The ROS messages that a bag of results needs, for rosbags: its own sets, and the package's two.

The package's messages are defined in `msg/`. An installed package does not always have these files (a wheel has only
the generated code), so their fields are repeated here; a test compares the two.
"""
from __future__ import annotations

from functools import cache

from rosbags.typesys import get_types_from_msg, get_typestore, Stores
from rosbags.typesys.store import Typestore

from rsgmamba_ros.data.messages.reliability import PRESENCE_CODES

_PRESENCE_CONSTANTS = ''.join(f'uint8 {presence.name}={code}\n' for presence, code in PRESENCE_CODES.items())

MODALITY_RELIABILITY = _PRESENCE_CONSTANTS + """\
string modality
float32 reliability
float32 learned
float32 signal_quality
uint8 presence
bool used
string[] causes
float32 skew_s
float32 age_s
"""

RELIABILITY = """\
std_msgs/Header header
string leader
ModalityReliability[] modalities
string[] reports
float32 latency_s
string sensor_profile
"""

#: ROS 2 distribution whose message definitions are written into bags; those of images have not changed since Humble.
_STORE = Stores.ROS2_JAZZY


@cache
def typestore() -> Typestore:
    """The types of ROS 2 and of this package, ready to serialise."""
    store = get_typestore(_STORE)
    store.register({**get_types_from_msg(MODALITY_RELIABILITY, 'rsgmamba_ros/msg/ModalityReliability'),
                    **get_types_from_msg(RELIABILITY, 'rsgmamba_ros/msg/Reliability')})
    return store
