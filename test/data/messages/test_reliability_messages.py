import math

import numpy as np
import pytest

from rsgmamba_ros.data.messages.definitions import typestore
from rsgmamba_ros.data.messages.reliability import (
    create_reliability_message,
    PRESENCE_CODES,
    read_reliability_message,
)
from rsgmamba_ros.vocabulary.images import Modality, Presence
from rsgmamba_ros.vocabulary.segmentation import ModalityReliability, Segmentation

TYPES = typestore().types
MESSAGE, MODALITY = TYPES['rsgmamba_ros/msg/Reliability'], TYPES['rsgmamba_ros/msg/ModalityReliability']


def segmentation(presence=Presence.PRESENT):
    rgb = ModalityReliability(0.5, 0.75, 0.5, presence, True, ('dark',), skew_s=0.25, age_s=0.125)
    depth = ModalityReliability(0.0, 0.0, 0.0, Presence.MISSING, False, ('missing',))
    empty = np.empty((0, 0), np.uint8)
    return Segmentation(2_000_001_000, 'camera', Modality.DEPTH, empty, empty,
                        {Modality.RGB: rgb, Modality.DEPTH: depth}, ('depth: stopped',), 'front.yaml')


def message(sent):
    stamp = TYPES['builtin_interfaces/msg/Time'](2, sent.stamp_ns - 2_000_000_000)
    header = TYPES['std_msgs/msg/Header'](stamp, sent.frame_id)
    return create_reliability_message(sent, header=header, published_ns=sent.stamp_ns + 500_000, message_class=MESSAGE,
                                      modality_class=MODALITY)


@pytest.mark.parametrize('presence', Presence)
def test_a_message_read_back_is_what_was_sent(presence):
    sent = segmentation(presence)
    read = read_reliability_message(message(sent))
    assert (read.stamp_ns, read.frame_id, read.leader) == (sent.stamp_ns, sent.frame_id, sent.leader)
    assert (read.reliability, read.reports) == (sent.reliability, sent.reports)
    assert read.sensor_profile == 'front.yaml'


def test_what_is_not_known_is_nan_and_latency_is_in_seconds():
    sent = message(segmentation())
    assert math.isnan(sent.modalities[1].skew_s) and math.isnan(sent.modalities[1].age_s)
    assert sent.latency_s == pytest.approx(0.0005)


def test_every_presence_has_the_code_of_the_message_definition(project_root):
    text = (project_root / 'msg' / 'ModalityReliability.msg').read_text(encoding='utf-8')
    for presence in Presence:
        assert f'uint8 {presence.name}={PRESENCE_CODES[presence]}' in text
