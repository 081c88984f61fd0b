"""Which topic of a bag shows what, when nobody has said: by type, encoding and name, and never by guessing."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rsgmamba_ros.data.bags.files import Topic
from rsgmamba_ros.data.bags.reader import BagReader, describe_topics
from rsgmamba_ros.data.messages.images import LABELS
from rsgmamba_ros.data.messages.serialised_images import ImageMessage
from rsgmamba_ros.vocabulary.errors import BagError
from rsgmamba_ros.vocabulary.images import Modality

#: Topic name that means "there is none": leave this modality out.
NONE = 'none'


@dataclass(frozen=True)
class Hint:
    """What tells the topics of a modality from others.

    Attributes:
        contents: what its first image may hold, see `_content`.
        words: parts of a topic's name that say so.
    """

    contents: tuple[str, ...]
    words: tuple[str, ...]


HINTS: Mapping[Modality | str, Hint] = {
    Modality.RGB: Hint(('colour',), ('rgb', 'color', 'colour')),
    Modality.DEPTH: Hint(('16 bit', 'float'), ('depth', 'range')),
    Modality.THERMAL: Hint(('grey', '16 bit', 'float'), ('thermal', 'infra', 'lwir', 'flir', 'boson', 'lepton')),
    LABELS: Hint(('grey', '16 bit'), ('label', 'ground_truth', 'semantic')),
}


def find_topics(bag: BagReader, *, auxiliary: Modality,
                named: Mapping[Modality | str, str | None]) -> dict[str, Modality | str]:
    """Find the topics of RGB, the auxiliary modality and the labels.

    Args:
        auxiliary: depth or thermal.
        named: topics that the user named; `NONE` leaves one out, None or nothing has it found. Labels are optional.

    Returns:
        What each topic shows, for `BagReader.images`.

    Raises:
        BagError: a modality has no topic, or several that could be it: all are listed; a named one carries no images.
    """
    contents = {topic.name: _content(bag.first_image(topic.name)) for topic in bag.image_topics}
    found: dict[str, Modality | str] = {}
    for modality in (Modality.RGB, auxiliary, LABELS):
        name = named.get(modality) or _only_candidate(bag, modality, contents)
        if name is not None and name != NONE:
            bag.check_topic(name)
            if name in found:
                raise BagError(f'topic {name!r} is taken for {found[name]} and for {modality}; name one topic each')
            found[name] = modality
    if set(found.values()) <= {LABELS}:
        raise BagError(f'no topic is left to replay; {bag.path} has {describe_topics(bag.image_topics)}')
    return found


def _only_candidate(bag: BagReader, modality: Modality | str, contents: Mapping[str, str]) -> str | None:
    candidates = _candidates(bag.image_topics, modality, contents)
    option = {Modality.RGB: '--rgb-topic', LABELS: '--labels-topic'}.get(modality, '--aux-topic')
    if len(candidates) == 1:
        return candidates[0].name
    if candidates:
        raise BagError(f'{bag.path} has several topics that could be {modality}: {describe_topics(candidates)}; '
                       f'name one with {option}')
    if modality == LABELS:
        return None
    raise BagError(f'{bag.path} has no topic that looks like {modality}; name one with {option}, or "{option} {NONE}" '
                   f'to go without; image topics are {describe_topics(bag.image_topics)}')


def _candidates(topics: list[Topic], modality: Modality | str, contents: Mapping[str, str]) -> list[Topic]:
    own, others = HINTS[modality], [hint for other, hint in HINTS.items() if other != modality]
    fitting = [topic for topic in topics if contents[topic.name] in own.contents]
    hinted = [topic for topic in fitting if _says(topic.name, own)]
    unhinted = [topic for topic in fitting if not any(_says(topic.name, hint) for hint in others)]
    if modality == LABELS:
        unhinted = []
    chosen = hinted or unhinted
    names = {topic.name for topic in chosen}
    # image_transport records one camera as /image, /image/compressed and so on: the raw one stands for all.
    return [topic for topic in chosen if topic.name.rpartition('/')[0] not in names]


def _says(name: str, hint: Hint) -> bool:
    return any(word in name.lower() for word in hint.words)


def _content(message: ImageMessage | None) -> str:
    """What an image holds, as far as its header tells: colour, grey, 16 bit, float or nothing known."""
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
