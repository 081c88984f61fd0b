"""Finds the topics of each modality in a bag by type, pixels and name; if several fit, it is an error."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import re

import numpy as np

from rsgmamba_ros.data.bags.reader import BagReader, describe_topics
from rsgmamba_ros.data.bags.records import Topic
from rsgmamba_ros.data.messages.compressed_images import decode_file
from rsgmamba_ros.data.messages.images import ImageContent, LABELS
from rsgmamba_ros.data.messages.serialised_images import COMPRESSED_IMAGE_TYPE, ImageMessage
from rsgmamba_ros.vocabulary.errors import BagError, ImageError
from rsgmamba_ros.vocabulary.images import AUXILIARY_MODALITIES, Modality

#: In place of a topic name: leave this modality out.
NONE = 'none'


@dataclass(frozen=True)
class Hint:
    """How the topics of a content are recognised.

    Attributes:
        pixels: kinds of pixels that fit, see `_pixel_kind`.
        words: words that topic names of this content typically have. They only choose between topics whose pixels fit.
    """

    pixels: tuple[str, ...]
    words: tuple[str, ...]


HINTS: Mapping[ImageContent, Hint] = {
    Modality.RGB: Hint(('colour', 'grey in colour'), ('rgb', 'color', 'colour')),
    Modality.DEPTH: Hint(('16 bit', 'float'), ('depth', 'range')),
    Modality.THERMAL: Hint(('grey', '16 bit', 'float', 'grey in colour'),
                           ('thermal', 'infra', 'infrared', 'ir', 'lwir', 'flir', 'boson', 'lepton')),
    LABELS: Hint(('grey', '16 bit'), ('label', 'labels', 'truth', 'semantic')),
}
#: Number of images of a topic that are examined: the first images of a camera may be empty.
_EXAMINED = 5


def find_topics(bag: BagReader, *, auxiliary: Modality,
                named: Mapping[ImageContent, str | None]) -> dict[str, ImageContent]:
    """Find the topics of RGB, the auxiliary modality and the labels.

    Args:
        auxiliary: depth or thermal.
        named: topics that the user chose; `NONE` leaves a content out, None means: find it. Labels are optional.

    Returns:
        What each topic shows, for `BagReader.images_and_label_maps`.

    Raises:
        BagError: no topic fits a modality, or several do (the message lists all), or a chosen one carries no images.
    """
    pixels = {topic.name: _pixel_kind(bag.first_images(topic.name, _EXAMINED)) for topic in bag.image_topics}
    found: dict[str, ImageContent] = {}
    for content in (Modality.RGB, auxiliary, LABELS):
        name = named.get(content) or _only_candidate(bag, content, pixels)
        if name is not None and name != NONE:
            bag.check_topic(name)
            if name in found:
                raise BagError(f'topic {name!r} is taken for {found[name]} and for {content}; name one topic each')
            found[name] = content
    if set(found.values()) <= {LABELS}:
        raise BagError(f'no topic is left to replay; {bag.path} has {describe_topics(bag.image_topics)}')
    return found


def transport(bag: BagReader, name: str) -> str:
    """The transport of a topic, `raw` or `compressed`, as the parameters of the node name it."""
    types = {topic.name: topic.message_type for topic in bag.image_topics}
    return 'compressed' if types[name] == COMPRESSED_IMAGE_TYPE else 'raw'


def _only_candidate(bag: BagReader, content: ImageContent, pixels: Mapping[str, str]) -> str | None:
    candidates = _candidates(bag.image_topics, content, pixels)
    option = {Modality.RGB: '--rgb-topic', LABELS: '--labels-topic'}.get(content, '--aux-topic')
    if len(candidates) == 1:
        return candidates[0].name
    if candidates:
        raise BagError(f'{bag.path} has several topics that could be {content}: {describe_topics(candidates)}; '
                       f'name one with {option}')
    if content == LABELS:
        return None
    raise BagError(f'{bag.path} has no topic that looks like {content}; name one with {option}, or "{option} {NONE}" '
                   f'to go without; image topics are {describe_topics(bag.image_topics)}')


def find_auxiliary(bag: BagReader) -> Modality:
    """The auxiliary modality of a bag: thermal if only thermal has topics, else depth."""
    pixels = {topic.name: _pixel_kind(bag.first_images(topic.name, _EXAMINED)) for topic in bag.image_topics}
    depth, thermal = (_candidates(bag.image_topics, modality, pixels) for modality in AUXILIARY_MODALITIES)
    return Modality.THERMAL if thermal and not depth else Modality.DEPTH


def _candidates(topics: list[Topic], content: ImageContent, pixels: Mapping[str, str]) -> list[Topic]:
    """The topics whose pixels fit; if there are several, those whose names have the words of this content only."""
    own, others = HINTS[content], [hint for other, hint in HINTS.items() if other != content]
    fitting = [topic for topic in topics if pixels[topic.name] in own.pixels]
    if content is Modality.RGB:
        # A name of another sensor does not matter where there are colours: drivers publish them under /depth_camera.
        fitting = [topic for topic in fitting if pixels[topic.name] == 'colour'] or [
            topic for topic in fitting if not any(_has_word(topic.name, hint) for hint in others)]
        if len(fitting) == 1:
            return fitting
    hinted = [topic for topic in fitting if _has_word(topic.name, own)]
    unhinted = [topic for topic in fitting if not any(_has_word(topic.name, hint) for hint in others)]
    if content == LABELS:
        unhinted = []
    last_hinted = [topic for topic in hinted if _has_word(topic.name.rpartition('/')[2], own)]
    chosen = hinted or unhinted
    if len(hinted) > 1 and len(last_hinted) == 1:
        chosen = last_hinted
    names = {topic.name for topic in chosen}
    # image_transport records one camera as /image, /image/compressed and so on: the raw one stands for all.
    return [topic for topic in chosen if topic.name.rpartition('/')[0] not in names]


def _has_word(name: str, hint: Hint) -> bool:
    words = re.findall('[a-z]+', re.sub('([a-z0-9])([A-Z])', r'\1_\2', name).lower())
    return not set(words).isdisjoint(hint.words)


def _pixel_kind(messages: list[ImageMessage]) -> str:
    """Kind of pixels of a topic by its first images: colour, grey, grey in colour, 16 bit, float; empty if unknown."""
    for message in messages:
        if message.compressed or message.height * message.width:
            return _kind_of_file(message) if message.compressed else _kind_of_encoding(message)
    return ''


def _kind_of_encoding(message: ImageMessage) -> str:
    encoding = message.encoding
    if encoding in ('16UC1', 'mono16'):
        return '16 bit'
    if encoding in ('32FC1', '64FC1'):
        return 'float'
    if encoding in ('mono8', '8UC1'):
        return 'grey'
    return _grey_or_colour(message)


def _kind_of_file(message: ImageMessage) -> str:
    """Kind by the pixels of the file: only image_transport states the encoding, other tools do not."""
    format = message.encoding.lower()
    if 'compresseddepth' in format:
        return '16 bit'
    if format.startswith('bayer_'):
        return 'colour'
    try:
        pixels = decode_file(np.frombuffer(message.data, np.uint8), 'image')
    except ImageError:
        kinds = {'16uc1': '16 bit', 'mono16': '16 bit', 'mono8': 'grey', '8uc1': 'grey'}
        return kinds.get(format.partition(';')[0].strip(), 'colour')
    if pixels.ndim == 3:
        return _grey_or_colour(message)
    return {'uint8': 'grey', 'uint16': '16 bit'}.get(pixels.dtype.name, 'float')


def _grey_or_colour(message: ImageMessage) -> str:
    """Whether an image in a colour encoding has colours; images of a thermal camera have none."""
    try:
        pixels, _ = message.decode(Modality.THERMAL)
    except ImageError:
        return 'colour'
    return 'grey in colour' if np.ptp(pixels) else 'colour'  # a black image may be of either kind
