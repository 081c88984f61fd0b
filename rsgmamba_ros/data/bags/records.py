"""What every kind of bag file provides: topics, serialised messages, and a list of its damage."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True)
class Topic:
    """One topic of a bag.

    Attributes:
        name: as recorded.
        message_type: as ROS 2 spells it, `sensor_msgs/msg/Image`; empty if it is unknown, or if messages differ in it.
        count: number of messages.
    """

    name: str
    message_type: str
    count: int


class BagMessage(NamedTuple):
    """One message of a bag, or its first bytes.

    Attributes:
        message_type: as ROS 2 spells it, `sensor_msgs/msg/Image`.
        received_ns: receive time, nanoseconds.
        data: serialised.
    """

    topic: str
    message_type: str
    received_ns: int
    data: bytes | memoryview


class BagFile(Protocol):
    """One file of a bag. `start_ns` and `end_ns` are receive times, nanoseconds; 0 if it is empty.

    The count of a topic includes damaged messages if the file is known to have them. Those that `messages` does not
    give are lost.
    """

    topics: list[Topic]
    start_ns: int
    end_ns: int
    ros1: bool

    def messages(self, topics: set[str]) -> Iterator[BagMessage]:
        """The messages of some topics, in receive order."""
        ...

    def heads(self, topics: set[str]) -> Iterator[BagMessage]:
        """As `messages`, but a message may have its first bytes only."""
        ...


class Damage:
    """The faults of a bag, one sentence each; a sentence is kept once.

    Attributes:
        sentences: all faults, in the order in which they were found.
        losses: for each sentence about a loss the number of lost messages, 0 if it is unknown.
    """

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.losses: dict[str, int] = {}

    def note(self, sentence: str) -> None:
        """Record a fault that was worked around without a loss."""
        if sentence not in self.sentences:
            self.sentences.append(sentence)

    def lose(self, sentence: str, count: int = 0) -> None:
        """Record a loss; without a count if the number is unknown, or if the topics count the messages."""
        self.losses[sentence] = count
        self.note(sentence)


def one_line(error: BaseException) -> str:
    """The text of an exception in one line, to be part of a sentence."""
    text = ' '.join(str(error).split()).rstrip('.')
    return text if text else type(error).__name__
