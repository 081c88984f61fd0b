"""What every kind of bag file gives: topics, serialised messages, and an account of its damage."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True)
class Topic:
    """One topic of a bag.

    Attributes:
        name: as recorded.
        message_type: in ROS 2's spelling, `sensor_msgs/msg/Image`; empty if it is not known, or not the same
            everywhere.
        count: messages.
    """

    name: str
    message_type: str
    count: int


class BagMessage(NamedTuple):
    """One message of a bag, or the beginning of it.

    Attributes:
        message_type: in ROS 2's spelling, `sensor_msgs/msg/Image`.
        received_ns: receive time, nanoseconds.
        data: serialised.
    """

    topic: str
    message_type: str
    received_ns: int
    data: bytes | memoryview


class BagFile(Protocol):
    """One file of a bag. `start_ns` and `end_ns` are receive times, nanoseconds; 0 if it is empty.

    The count of a topic includes the messages that are known to be in the file but turn out to be damaged: what
    `messages` does not give of them is lost.
    """

    topics: list[Topic]
    start_ns: int
    end_ns: int
    ros1: bool

    def messages(self, topics: set[str]) -> Iterator[BagMessage]:
        """The messages of some topics, in receive order."""
        ...

    def heads(self, topics: set[str]) -> Iterator[BagMessage]:
        """As `messages`, but of each message only the beginning may be there."""
        ...


class Damage:
    """What is wrong with a bag, a sentence each; the same sentence counts once.

    Attributes:
        sentences: everything, in the order in which it was found.
        losses: messages that are lost for each sentence of a loss, 0 where their number is not known.
    """

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.losses: dict[str, int] = {}

    def note(self, sentence: str) -> None:
        """Take note of something that was worked around without a loss."""
        if sentence not in self.sentences:
            self.sentences.append(sentence)

    def lose(self, sentence: str, count: int = 0) -> None:
        """Take note of a loss; without a count where the messages are unknown, or counted by their topics."""
        self.losses[sentence] = count
        self.note(sentence)


def one_line(error: BaseException) -> str:
    """One line about an exception, for a longer sentence."""
    text = ' '.join(str(error).split()).rstrip('.')
    return text if text else type(error).__name__
