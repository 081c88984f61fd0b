"""What `rsgmamba doctor` found: one line each, with a remedy where something is wrong."""
from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How bad it is."""

    OK = 'ok'
    WARN = 'warning'
    ERROR = 'error'


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: for example `torch`, or a topic.
        text: what was found.
        remedy: what to do; empty if nothing has to be done.
    """

    level: Level
    subject: str
    text: str
    remedy: str = ''


def ok(subject: str, text: str) -> Finding:
    """Nothing to do."""
    return Finding(Level.OK, subject, text)


def warn(subject: str, text: str, remedy: str) -> Finding:
    """The node works, but worse than it could."""
    return Finding(Level.WARN, subject, text, remedy)


def error(subject: str, text: str, remedy: str) -> Finding:
    """The node does not work like this."""
    return Finding(Level.ERROR, subject, text, remedy)
