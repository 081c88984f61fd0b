"""Label spaces: class names, colours and the value that means unlabelled."""
from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from rsgmamba_ros.vocabulary.errors import ConfigError

IGNORE_INDEX = 255


def default_palette(count: int) -> tuple[tuple[int, int, int], ...]:
    """RGB colours for `count` classes that neighbours in the list are told apart by, each 0..255.

    The construction is PASCAL VOC's: the bits of the class index, spread over the channels.
    """
    colours = []
    for index in range(count):
        red = green = blue = 0
        bits = index
        for shift in range(7, -1, -1):
            red |= (bits & 1) << shift
            green |= (bits >> 1 & 1) << shift
            blue |= (bits >> 2 & 1) << shift
            bits >>= 3
        colours.append((red, green, blue))
    return tuple(colours)


@dataclass(frozen=True)
class LabelSpace:
    """The classes of a network or dataset.

    Attributes:
        names: class names; the index is the value in a label map.
        palette: one RGB colour a class, 0..255; empty for the default palette.
        ignore_index: value of unlabelled pixels in label images and label maps.

    Raises:
        ConfigError: no class, more than 255, a repeated name, or a palette of another length.
    """

    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...] = ()
    ignore_index: int = IGNORE_INDEX

    def __post_init__(self) -> None:
        object.__setattr__(self, 'names', tuple(map(str, self.names)))
        palette = self.palette or default_palette(len(self.names))
        object.__setattr__(self, 'palette', tuple(tuple(map(int, colour)) for colour in palette))
        if not 1 <= len(self.names) <= 255:
            raise ConfigError(f'a label space has 1 to 255 classes, got {len(self.names)}')
        repeated = {name for name in self.names if self.names.count(name) > 1}
        if repeated:
            raise ConfigError(f'class names are repeated: {sorted(repeated)!r}; give each class its own name')
        if len(self.palette) != len(self.names):
            raise ConfigError(f'palette has {len(self.palette)} colours for {len(self.names)} classes')
        if any(len(colour) != 3 or not all(0 <= c <= 255 for c in colour) for colour in self.palette):
            raise ConfigError('palette colours are three integers 0..255 each: red, green, blue')
        if not 0 <= self.ignore_index <= 255:
            raise ConfigError(f'ignore_index is {self.ignore_index}; a label map holds 0..255')

    def __len__(self) -> int:
        return len(self.names)

    def colourise(self, label_map: np.ndarray) -> np.ndarray:
        """Paint a label map.

        Args:
            label_map: (H, W) uint8.

        Returns:
            (H, W, 3) uint8 RGB; values without a class are black.
        """
        table = np.zeros((256, 3), np.uint8)
        table[:len(self.palette)] = self.palette
        return cv2.applyColorMap(label_map, table[:, None])  # ten times as fast as numpy's take
