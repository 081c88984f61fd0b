"""Results and ground truth, each in its own order and time -> pairs, in the order of the results."""
from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from rsgmamba_ros.data.palette_images import decode_label_image
from rsgmamba_ros.vocabulary.decoding import Decoding, DEFAULT_DECODING
from rsgmamba_ros.vocabulary.errors import DatasetError, ImageError

#: Unit of a stamp by its number of digits: those of this century have 13 in milliseconds, 16 in microseconds.
_UNITS_NS = {13: 1_000_000, 16: 1000}

Result = TypeVar('Result')

#: Label images that are kept for results to come: about a second at camera rate, so that memory stays bounded.
_KEPT_LABELS = 32


class LabelMatcher(Generic[Result]):
    """Holds results until their label image is there, or can no longer come.

    Args:
        tolerance_ns: largest distance of two stamps in a pair; the nearest label image within it is taken.
        patience_ns: how long a result waits for its label image, on the clock of `now_ns`.
    """

    def __init__(self, *, tolerance_ns: int, patience_ns: int):
        self._tolerance_ns = tolerance_ns
        self._patience_ns = patience_ns
        self._labels: deque[tuple[int, np.ndarray]] = deque(maxlen=_KEPT_LABELS)
        self._results: deque[tuple[int, int, Result]] = deque()

    def add_label_map(self, stamp_ns: int, label_map: np.ndarray) -> None:
        """Take in ground truth, (H, W) of any integer type."""
        self._labels.append((stamp_ns, label_map))

    def add_result(self, stamp_ns: int, result: Result, *, now_ns: int) -> None:
        """Take in a result that wants its ground truth."""
        self._results.append((stamp_ns, now_ns + self._patience_ns, result))

    def matched(self, now_ns: int) -> Iterator[tuple[Result, np.ndarray | None]]:
        """The results that need not wait on, in their order, each with its label map or None."""
        while self._results and (self._nearest(exact=True) is not None or self._cannot_come(now_ns)):
            nearest = self._nearest(exact=False)
            yield self._results.popleft()[2], nearest

    def rest(self) -> Iterator[tuple[Result, np.ndarray | None]]:
        """The results that are left when no more label images come."""
        while self._results:
            nearest = self._nearest(exact=False)
            yield self._results.popleft()[2], nearest

    def _cannot_come(self, now_ns: int) -> bool:
        stamp_ns, deadline_ns, _ = self._results[0]
        return now_ns >= deadline_ns or any(stamp > stamp_ns + self._tolerance_ns for stamp, _ in self._labels)

    def _nearest(self, *, exact: bool) -> np.ndarray | None:
        stamp_ns = self._results[0][0]
        limit = 0 if exact else self._tolerance_ns
        distance, label_map = min(((abs(stamp - stamp_ns), label_map) for stamp, label_map in self._labels),
                                  key=lambda item: item[0], default=(limit + 1, None))
        return label_map if distance <= limit else None


class LabelFolder:
    """Ground truth as PNG files, named by stamp (`1700000000033000000`, `1700000000.033`) or by number.

    Stamps may be in nano-, micro- or milliseconds, or in seconds with a dot. A stamp with fewer digits than the image's
    is that of the image in the same micro- or millisecond. Small numbers (`000042.png`) count the images of the
    leading topic from 0. Of a PNG with a palette the indices are read, not the colours.

    Raises:
        DatasetError: no file of the folder has such a name.
    """

    def __init__(self, folder: str | Path, decoding: Decoding = DEFAULT_DECODING):
        self._decoding = decoding
        self._files: dict[int, dict[int, Path]] = {1: {}, 1000: {}, 1_000_000: {}}
        for path in (path for path in Path(folder).glob('*') if path.suffix.lower() == '.png'):
            seconds, dot, fraction = path.stem.replace('_', '.').partition('.')
            if not (seconds.isdecimal() and (fraction.isdecimal() or not dot)):
                continue
            digits = seconds + fraction.ljust(3 * -(-len(fraction) // 3), '0')[:9]
            unit_ns = _UNITS_NS.get(len(digits), 1)
            self._files[unit_ns][int(digits)] = path
        if not len(self):
            raise DatasetError(f'{folder} has no label images; looked for PNG files named by stamp in nanoseconds, or '
                               'by number')

    def __len__(self) -> int:
        return sum(map(len, self._files.values()))

    def read(self, stamp_ns: int, index: int) -> np.ndarray | None:
        """The label map of the image with this stamp, or of this number; None if there is none.

        Raises:
            DatasetError: the file is no image of one channel.
        """
        # A stamp with fewer digits was cut off or rounded.
        found = [files[number] for unit_ns, files in self._files.items()
                 for number in (stamp_ns // unit_ns, round(stamp_ns / unit_ns) if unit_ns > 1 else index)
                 if number in files]
        if not found:
            return None
        path = found[0]
        try:
            label_map = decode_label_image(path.read_bytes(), str(path), max_pixels=self._decoding.max_image_pixels)
        except OSError as error:
            raise DatasetError(f'cannot read {path}: {error}') from error
        except ImageError as error:
            raise DatasetError(str(error)) from error
        if label_map is None or label_map.ndim != 2:
            raise DatasetError(f'{path} is no label image: expected one channel')
        return label_map
