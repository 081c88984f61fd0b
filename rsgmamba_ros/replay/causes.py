"""What could not be read, counted by cause: few causes, though their numbers differ from image to image."""
from __future__ import annotations

from collections import Counter
import re

_QUOTED_OR_NUMBER = re.compile(r"'[^']*'|[0-9]+")


class Causes:
    """Counts errors that differ only in numbers together; names in quotes, such as encodings, keep theirs.

    Attributes:
        counts: by cause; each is written as the first error of its kind was.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._first: dict[tuple[str, str], str] = {}

    def add(self, error: Exception | str, *, source: str = '') -> None:
        """Count an error.

        Args:
            source: where it happened, a topic; errors of several sources are counted apart.
        """
        kind = _QUOTED_OR_NUMBER.sub(lambda found: found[0] if found[0].startswith("'") else '#', str(error))
        cause = self._first.setdefault((source, kind), f'{source}: {error}' if source else str(error))
        self.counts[cause] += 1
