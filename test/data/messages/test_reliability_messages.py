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
    return Segmentation(1000, 'camera', Modality.DEPTH, empty, empty, {Modality.RGB: rgb, Modality.DEPTH: depth},
                        ('depth: stopped',))


def message(sent):
    return create_reliability_message(sent, header=None, published_ns=501_000, message_class=MESSAGE,
                                      modality_class=MODALITY)


@pytest.mark.parametrize('presence', Presence)
def test_a_message_read_back_is_what_was_sent(presence):
    sent = segmentation(presence)
    read = read_reliability_message(message(sent), stamp_ns=1000, frame_id='camera')
    assert (read.reliability, read.leader, read.reports) == (sent.reliability, sent.leader, sent.reports)


def test_what_is_not_known_is_nan_and_latency_is_in_seconds():
    sent = message(segmentation())
    assert math.isnan(sent.modalities[1].skew_s) and math.isnan(sent.modalities[1].age_s)
    assert sent.latency_s == pytest.approx(0.0005)


def test_every_presence_has_the_code_of_the_message_definition(project_root):
    text = (project_root / 'msg' / 'ModalityReliability.msg').read_text(encoding='utf-8')
    for presence in Presence:
        assert f'uint8 {presence.name}={PRESENCE_CODES[presence]}' in text
