"""Reads the images of a bag in receive order, one after another: memory does not grow with the bag."""
from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from rsgmamba_ros.data.bags.compression import decompress_message, ZSTD_MAGIC
from rsgmamba_ros.data.bags.files import open_bag
from rsgmamba_ros.data.bags.ordering import in_order_of_stamps, OrderBy
from rsgmamba_ros.data.bags.records import BagFile, BagMessage, one_line, Topic
from rsgmamba_ros.data.messages.definitions import typestore
from rsgmamba_ros.data.messages.images import ImageContent
from rsgmamba_ros.data.messages.recorded_images import RecordedImage, RecordedLabelMap
from rsgmamba_ros.data.messages.serialised_images import (
    COMPRESSED_IMAGE_TYPE,
    IMAGE_TYPE,
    ImageMessage,
    parse_image_message,
    VIDEO_TYPES,
)
from rsgmamba_ros.data.messages.video import VideoDecoder
from rsgmamba_ros.vocabulary.decoding import Decoding, DEFAULT_DECODING
from rsgmamba_ros.vocabulary.errors import BagError, ImageError
from rsgmamba_ros.vocabulary.images import Modality

IMAGE_TYPES = (IMAGE_TYPE, COMPRESSED_IMAGE_TYPE, *VIDEO_TYPES)
#: Exit status of a program that could read only a part of a bag; 1 is for nothing at all.
READ_IN_PART = 3
#: Cause of messages that the bag counts but that cannot be read.
_LOST = 'in a damaged part of the bag'


class BagReader:
    """A bag of ROS 2 (SQLite, MCAP, compressed, split) or ROS 1. A context manager.

    Args:
        decoding: options for decoding the images, see `Decoding`.
        order_by: `header` uses the stamps of the images as their receive times, and gives the images in the order of
            their stamps.

    Attributes:
        topics: every topic, by name.
        start_ns: receive time of the first message, nanoseconds.
        end_ns: receive time of the last message, nanoseconds.
        skipped: messages that could not be read or parsed so far, counted by topic and cause.

    Raises:
        BagError: there is no bag, nothing of it can be read, or no image has a stamp to order by.
    """

    def __init__(self, path: str | Path, *, decoding: Decoding = DEFAULT_DECODING, order_by: OrderBy = 'log'):
        self.path = Path(path)
        self.decoding = decoding
        self.order_by = order_by
        self.skipped: Counter[str] = Counter()
        self._stack = ExitStack()
        with ExitStack() as stack:
            self._files, self._damage = open_bag(self.path, stack)
            self._stack = stack.pop_all()
        self.topics = _merge_topics(self._files)
        filled = [file for file in self._files if file.end_ns]
        self.start_ns = min((file.start_ns for file in filled), default=0)
        self.end_ns = max((file.end_ns for file in filled), default=0)
        if order_by == 'header':
            stamps = [stamp for stamp in self._stamps_ns([topic.name for topic in self.image_topics]) if stamp]
            if not stamps:
                raise BagError(f'{self.path}: no image has a stamp in its header; it cannot be ordered by header')
            self.start_ns, self.end_ns = min(stamps), max(stamps)

    def __enter__(self) -> BagReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def damage(self) -> list[str]:
        """One sentence for each fault of the bag that was found while reading, and worked around."""
        return self._damage.sentences

    @property
    def is_whole(self) -> bool:
        """Whether no message was lost or skipped so far."""
        return not self._damage.losses and not self.skipped

    @property
    def lost(self) -> int:
        """Number of messages that could not be read so far, where they can be counted."""
        return sum(self._damage.losses.values()) + sum(self.skipped.values())

    @property
    def image_topics(self) -> list[Topic]:
        """The topics that carry images, raw or compressed."""
        return [topic for topic in self.topics if topic.message_type in IMAGE_TYPES]

    def images(self, modalities: Mapping[str, Modality]) -> Iterator[RecordedImage]:
        """Iterate over the images of some topics, in receive order.

        A message that is cut short is counted in `skipped`. If the bag itself is damaged, the images end there and
        `damage` has a sentence about it.

        Args:
            modalities: what each topic shows.

        Raises:
            BagError: a topic is not in the bag, or carries no images.
        """
        for topic, received_ns, message in self._image_messages(modalities):
            yield RecordedImage(topic, received_ns, message, self.decoding, modality=modalities[topic])

    def headers(self, modalities: Mapping[str, Modality]) -> Iterator[RecordedImage]:
        """As `images`, but without payload; if the bag has an index, the payload is not even read.

        `decode` of such an image raises an ImageError.
        """
        for topic, received_ns, message in self._image_messages(modalities, head_only=True):
            yield RecordedImage(topic, received_ns, message, self.decoding, modality=modalities[topic])

    def label_maps(self, topic: str) -> Iterator[RecordedLabelMap]:
        """Iterate over the label maps of a topic; otherwise as `images`."""
        for _, received_ns, message in self._image_messages([topic]):
            yield RecordedLabelMap(topic, received_ns, message, self.decoding)

    def images_and_label_maps(self, contents: Mapping[str, ImageContent]) -> Iterator[RecordedImage | RecordedLabelMap]:
        """Iterate over images and label maps of some topics; otherwise as `images`."""
        for topic, received_ns, message in self._image_messages(contents):
            content = contents[topic]
            if isinstance(content, Modality):
                yield RecordedImage(topic, received_ns, message, self.decoding, modality=content)
            else:
                yield RecordedLabelMap(topic, received_ns, message, self.decoding)

    def _image_messages(self, topics: Collection[str], *,
                        head_only: bool = False) -> Iterator[tuple[str, int, ImageMessage]]:
        """Topic, receive time in nanoseconds and message, in receive order."""
        for name in topics:
            self.check_topic(name)
        found = self._parsed(topics, head_only=head_only)
        if self.order_by == 'header':
            for topic, _, message in in_order_of_stamps(found, self._stamps_ns(topics)):
                yield topic, message.stamp_ns, message
            return
        yield from filter(None, found)

    def _parsed(self, topics: Collection[str], *, head_only: bool) -> Iterator[tuple[str, int, ImageMessage] | None]:
        """Topic, receive time and message in the order of the bag; None for one that is skipped."""
        videos: dict[str, VideoDecoder] = {}
        for (topic, message_type, received_ns, data), ros1 in self._messages(set(topics), head_only=head_only):
            try:
                message = parse_image_message(data if ros1 else decompress_message(data), message_type, ros1=ros1,
                                              head_only=head_only)
            except (ImageError, ValueError):
                self.skipped[f'{topic}: no whole message'] += 1
                yield None
                continue
            if message_type in VIDEO_TYPES and not head_only:
                decoder = videos.setdefault(topic, VideoDecoder(max_pixels=self.decoding.max_image_pixels))
                try:
                    message = decoder.decode(message)
                except ImageError as error:
                    self.skipped[f'{topic}: {error}'] += 1
                    yield None
                    continue
            yield topic, received_ns, message

    def _stamps_ns(self, topics: Collection[str]) -> list[int | None]:
        """The stamps of the images of some topics in the order of the bag; what is skipped is not counted here."""
        skipped = self.skipped.copy()
        stamps = [None if item is None else item[2].stamp_ns for item in self._parsed(topics, head_only=True)]
        self.skipped = skipped
        return stamps

    def first_images(self, topic: str, count: int) -> list[ImageMessage]:
        """The first images of a topic that can be read, at most `count`; of a video as it is if it is not decoded."""
        found: list[ImageMessage] = []
        decoder = VideoDecoder(max_pixels=self.decoding.max_image_pixels)
        for file in self._files:
            messages = file.messages({topic})
            while len(found) < count:
                try:
                    message = next(messages, None)
                    if message is None:
                        break
                    data = message.data if file.ros1 else decompress_message(message.data)
                    image = parse_image_message(data, message.message_type, ros1=file.ros1)
                    if message.message_type in VIDEO_TYPES:
                        with suppress(ImageError):
                            image = decoder.decode(image)
                    found.append(image)
                except (ImageError, ValueError):
                    continue
                except Exception:  # found again, and reported, when the messages are read
                    break
        return found

    def serialised(self, topics: set[str]) -> Iterator[tuple[str, str, int, bytes]]:
        """Topic, message type, receive time in nanoseconds and serialised message (CDR), for a player.

        ROS 1 messages are converted if ROS 2 has their type.
        """
        for (topic, message_type, received_ns, data), ros1 in self._messages(topics):
            cdr = typestore().ros1_to_cdr(data, message_type) if ros1 else decompress_message(data)
            yield topic, message_type, received_ns, bytes(cdr)

    def _messages(self, topics: set[str], *, head_only: bool = False) -> Iterator[tuple[BagMessage, bool]]:
        """The messages or their first bytes, each with whether it is serialised as in ROS 1."""
        lost: Counter[str] = Counter()
        for file in self._files:
            lost.update({topic.name: topic.count for topic in file.topics if topic.name in topics})
            messages = _heads(file, topics) if head_only else file.messages(topics)
            while True:
                try:
                    message = next(messages, None)
                except Exception as error:  # rosbags does not turn the errors of its parsers into one of its own
                    self._damage.lose(f'the bag is damaged and was read in part: {one_line(error)}')
                    break
                if message is None:
                    break
                lost[message.topic] -= 1
                yield message, file.ros1
        for topic, count in lost.items():
            if count > 0:
                self.skipped[f'{topic}: {_LOST}'] = count

    def check_topic(self, name: str) -> None:
        """Check that a topic carries images.

        Raises:
            BagError: the topic is not in the bag, or carries no images.
        """
        message_type = {topic.name: topic.message_type for topic in self.topics}.get(name)
        if message_type is None:
            raise BagError(f'{self.path} has no topic {name!r}; image topics are {describe_topics(self.image_topics)}')
        if not message_type:
            raise BagError(f'{self.path}: topic {name!r} carries messages of several types, or of none that is known; '
                           'it cannot be read as images')
        if message_type not in IMAGE_TYPES:
            raise BagError(f'{self.path}: topic {name!r} carries {message_type}; expected one of {list(IMAGE_TYPES)}')


def _heads(file: BagFile, topics: set[str]) -> Iterator[BagMessage]:
    """The first bytes of messages; whole ones where rosbag2 compressed them one by one, as the first shows."""
    heads = file.heads(topics)
    first = next(heads, None)
    if first is not None and bytes(first.data[:4]) == ZSTD_MAGIC:
        yield from file.messages(topics)
    elif first is not None:
        yield first
        yield from heads


def describe_topics(topics: list[Topic]) -> str:
    """The topics in one line, for a message."""
    return ', '.join(f'{topic.name} ({topic.message_type}, {topic.count})' for topic in topics) or 'none'


def _merge_topics(files: list[BagFile]) -> list[Topic]:
    counts: dict[str, Topic] = {}
    for topic in (topic for file in files for topic in file.topics):
        earlier = counts.get(topic.name)
        if earlier and earlier.message_type != topic.message_type:
            topic = Topic(topic.name, '', topic.count)
        counts[topic.name] = Topic(topic.name, topic.message_type, topic.count + (earlier.count if earlier else 0))
    return [counts[name] for name in sorted(counts)]
