"""Which topic of a bag shows what, when nobody has said: by type, encoding and name, and never by guessing."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rsgmamba_ros.data.bags.reader import BagReader, describe_topics
from rsgmamba_ros.data.bags.records import Topic
from rsgmamba_ros.data.messages.images import ImageContent, LABELS
from rsgmamba_ros.data.messages.serialised_images import COMPRESSED_IMAGE_TYPE, ImageMessage
from rsgmamba_ros.vocabulary.errors import BagError
from rsgmamba_ros.vocabulary.images import Modality

#: Topic name that means "there is none": leave this modality out.
NONE = 'none'


@dataclass(frozen=True)
class Hint:
    """How the topics of a content are recognised.

    Attributes:
        pixels: kinds of pixels that it may have, see `_pixel_kind`.
        words: parts of topic names that are typical of it.
    """

    pixels: tuple[str, ...]
    words: tuple[str, ...]


HINTS: Mapping[ImageContent, Hint] = {
    Modality.RGB: Hint(('colour',), ('rgb', 'color', 'colour')),
    Modality.DEPTH: Hint(('16 bit', 'float'), ('depth', 'range')),
    Modality.THERMAL: Hint(('grey', '16 bit', 'float'), ('thermal', 'infra', 'lwir', 'flir', 'boson', 'lepton')),
    LABELS: Hint(('grey', '16 bit'), ('label', 'ground_truth', 'semantic')),
}


def find_topics(bag: BagReader, *, auxiliary: Modality,
                named: Mapping[ImageContent, str | None]) -> dict[str, ImageContent]:
    """Find the topics of RGB, the auxiliary modality and the labels.

    Args:
        auxiliary: depth or thermal.
        named: topics that the user named; `NONE` leaves one out, None or nothing has it found. Labels are optional.

    Returns:
        What each topic shows, for `BagReader.images_and_label_maps`.

    Raises:
        BagError: a modality has no topic, or several that could be it: all are listed; a named one carries no images.
    """
    pixels = {topic.name: _pixel_kind(bag.first_image(topic.name)) for topic in bag.image_topics}
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
    """How the images of a topic are carried: `raw` or `compressed`, as the parameters of the node name it."""
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


def _candidates(topics: list[Topic], content: ImageContent, pixels: Mapping[str, str]) -> list[Topic]:
    own, others = HINTS[content], [hint for other, hint in HINTS.items() if other != content]
    fitting = [topic for topic in topics if pixels[topic.name] in own.pixels]
    hinted = [topic for topic in fitting if _has_word(topic.name, own)]
    unhinted = [topic for topic in fitting if not any(_has_word(topic.name, hint) for hint in others)]
    if content == LABELS:
        unhinted = []
    chosen = hinted or unhinted
    names = {topic.name for topic in chosen}
    # image_transport records one camera as /image, /image/compressed and so on: the raw one stands for all.
    return [topic for topic in chosen if topic.name.rpartition('/')[0] not in names]


def _has_word(name: str, hint: Hint) -> bool:
    return any(word in name.lower() for word in hint.words)


def _pixel_kind(message: ImageMessage | None) -> str:
    """The kind of an image's pixels by its header: colour, grey, 16 bit, float; empty without an image."""
    if message is None:
        return ''
    encoding = message.encoding.lower()
    if '16uc1' in encoding or 'mono16' in encoding:
        return '16 bit'
    if '32fc1' in encoding:
        return 'float'
    if 'compresseddepth' in encoding:
        return '16 bit'
    if encoding.startswith(('mono8', '8uc1')):
        return 'grey'
    return 'colour'
