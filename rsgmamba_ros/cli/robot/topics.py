"""Are the cameras of a ROS graph usable: what the survey of `ros/tools/topic_survey.py` found, judged. Needs no ROS."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import os
from typing import TypedDict

from rsgmamba_ros.cli.robot.findings import error, Finding, ok, warn
from rsgmamba_ros.data.messages.images import ENCODINGS
from rsgmamba_ros.vocabulary.images import Modality

#: Encodings of colour images, among which no auxiliary camera is looked for.
_COLOURS = frozenset({'rgb8', 'bgr8', 'rgba8', 'bgra8', '8UC3', '8UC4', 'rgb16', 'bgr16', 'rgba16', 'bgra16'})

#: Below this share of the sensor's own rate, images are lost on the way.
_MIN_RATE_SHARE = 0.7

#: Stamps further than this from this machine's clock, in seconds, are of another clock.
_MAX_LAG_S = 0.5

#: Largest difference of the lags of two cameras, seconds: `max_delay_s` of the node.
_MAX_LAG_DIFFERENCE_S = 0.15


class TopicSurvey(TypedDict, total=False):
    """What was seen on one topic; the last rows only if an image came."""

    type: str
    publishers: list[str]
    reliable: bool
    images: int
    rate_hz: float
    frame_id: str
    encoding: str
    height: int
    width: int
    lag_s: float
    sensor_rate_hz: float
    zero_stamps: bool


@dataclass(frozen=True)
class Pair:
    """The topics that the node would use; empty where none was found."""

    rgb: str
    auxiliary: str


def choose_pair(topics: Mapping[str, TopicSurvey], auxiliary: Modality, *, rgb: str = '', other: str = '') -> Pair:
    """Find the two topics by their encodings; words in a name only choose between several.

    Args:
        rgb: topic that the user named, or nothing.
        other: likewise, of the auxiliary modality.
    """
    return Pair(rgb or _best(topics, Modality.RGB), other or _best(topics, auxiliary))


def topic_findings(topics: Mapping[str, TopicSurvey], pair: Pair, auxiliary: Modality) -> list[Finding]:
    """Judge the topics of a pair, each alone and both together."""
    findings = [finding for modality, name in ((Modality.RGB, pair.rgb), (auxiliary, pair.auxiliary))
                for finding in _topic(topics, modality, name)]
    if topics.get(pair.rgb, {}).get('images') and topics.get(pair.auxiliary, {}).get('images'):
        findings += _together(topics[pair.rgb], topics[pair.auxiliary], auxiliary)
    return findings


def transport_finding(middleware: str, setting: str, topics: Mapping[str, TopicSurvey]) -> Finding:
    """Judge the middleware and its profile.

    Args:
        setting: `VARIABLE=value` that names the shipped profile; empty if there is none for this middleware.
    """
    variable = setting.partition('=')[0]
    if not setting or os.environ.get(variable):
        return ok('middleware', f'{middleware}{f", {variable}={os.environ[variable]}" if setting else ""}')
    if topics and all(topic.get('reliable') for topic in topics.values()):
        return ok('middleware', f'{middleware} without a profile; every camera publishes reliably')
    return warn('middleware', f'{middleware} without a profile: large images of best-effort cameras are lost',
                f'start the camera driver with {setting}')


def _best(topics: Mapping[str, TopicSurvey], modality: Modality) -> str:
    def is_wanted(topic: TopicSurvey) -> bool:
        encoding = topic.get('encoding', '')
        if topic['type'].endswith('/CompressedImage'):
            is_depth = 'compressedDepth' in encoding or '16UC1' in encoding
            return is_depth == (modality is Modality.DEPTH)
        return encoding in ENCODINGS[modality] and (modality is Modality.RGB or encoding not in _COLOURS)

    words = {Modality.RGB: ('color', 'rgb'), Modality.DEPTH: ('aligned', 'registered', 'depth'),
             Modality.THERMAL: ('thermal', 'flir', 'boson', 'lepton')}[modality]
    avoided = ('segmentation', 'overlay', 'infra', 'ground_truth')
    found = [name for name, topic in topics.items() if is_wanted(topic) and not any(word in name for word in avoided)]
    # Raw before compressed, then by the words in their order, then the shortest name.
    return min(found, default='', key=lambda name: (
        topics[name]['type'].endswith('/CompressedImage'),
        next((index for index, word in enumerate(words) if word in name), len(words)), len(name), name))


def _topic(topics: Mapping[str, TopicSurvey], modality: Modality, name: str) -> list[Finding]:
    if not name:
        seen = ', '.join(sorted(topics)) or 'none'
        option = '--rgb-topic' if modality is Modality.RGB else '--aux-topic'
        return [error(f'{modality} topic', f'no topic with {modality} images; image topics here: {seen}',
                      f'start the driver, or name the topic with {option}')]
    topic = topics.get(name)
    if topic is None:
        return [error(name, 'nobody publishes images on it', f'choose one of: {", ".join(sorted(topics)) or "none"}')]
    if not topic['images']:
        return [error(name, 'it has a publisher, but no image came', 'look at the log of the driver')]
    qos = 'reliable' if topic['reliable'] else 'best effort'
    size = f'{topic["height"]}x{topic["width"]} ' if 'height' in topic else ''
    findings = [ok(name, f'{size}{topic["encoding"]}, {topic["rate_hz"]:.1f} Hz, {qos}, frame {topic["frame_id"]!r}, '
                         f'from {", ".join(topic["publishers"])}')]
    if topic['type'].endswith('/Image') and topic['encoding'] not in ENCODINGS[modality]:
        findings.append(error(name, f'encoding {topic["encoding"]!r} is not read as {modality}',
                              'choose another topic: docs/inputs.md'))
    if len(topic['publishers']) > 1:
        findings.append(warn(name, f'several nodes publish on it: {", ".join(topic["publishers"])}',
                             'stop all but one'))
    return findings + _times(name, topic)


def _times(name: str, topic: TopicSurvey) -> list[Finding]:
    findings = []
    rate, own = topic['rate_hz'], topic['sensor_rate_hz']
    if own and rate < _MIN_RATE_SHARE * own:
        findings.append(warn(name, f'{rate:.1f} of {own:.1f} Hz arrive: images are lost on the way',
                             'start the driver with a DDS profile (see middleware)'))
    if topic['zero_stamps']:
        findings.append(error(name, 'stamps are zero: images cannot be paired', 'set the stamps in the driver'))
    elif abs(topic['lag_s']) > _MAX_LAG_S:
        findings.append(warn(name, f'stamps are {topic["lag_s"]:.1f} s behind this clock',
                             'play bags with --clock and use_sim_time:=true; else synchronise the clocks (chrony)'))
    return findings


def _together(rgb: TopicSurvey, other: TopicSurvey, auxiliary: Modality) -> list[Finding]:
    findings = []
    if rgb['frame_id'] != other['frame_id']:
        advice = ('use depth aligned to colour, for a RealSense align_depth.enable:=true'
                  if auxiliary is Modality.DEPTH else 'both must show the same view: a close stereo mount')
        findings.append(warn('registration', f'{auxiliary} has frame {other["frame_id"]!r}, colour '
                             f'{rgb["frame_id"]!r}: probably not registered', advice))
    else:
        findings.append(ok('registration', f'both have frame {rgb["frame_id"]!r}'))
    difference = other['lag_s'] - rgb['lag_s']
    if abs(difference) > _MAX_LAG_DIFFERENCE_S and not (rgb['zero_stamps'] or other['zero_stamps']):
        findings.append(warn('clocks', f'{auxiliary} comes {difference:.2f} s later than colour by its stamps',
                             'synchronise the clocks, or set auxiliary_clock_offset_s or max_delay_s'))
    return findings
