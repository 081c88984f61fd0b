"""Layouts of dataset folders: where the images lie and what the values of label images mean. One YAML each."""
from __future__ import annotations

from dataclasses import dataclass, field
import os
from pathlib import Path
import sys

from rsgmamba_ros.vocabulary.config_file import load_config
from rsgmamba_ros.vocabulary.decoding import DEFAULT_DECODING
from rsgmamba_ros.vocabulary.depth import MILLIMETRE_M
from rsgmamba_ros.vocabulary.errors import ConfigError, DatasetError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.labels import LabelSpace
from rsgmamba_ros.vocabulary.preprocessing import ThermalScaling

#: Endings that are tried for a path without one.
ENDINGS = ('.png', '.jpg', '.jpeg', '.tif', '.tiff')


@dataclass(frozen=True)
class Split:
    """Some of the samples.

    Attributes:
        list: file with one sample a line (name, or path whose stem is the name); empty for all files of a folder.
        folder: replaces {split} in the paths; empty for the split's own name.
        ranges: lines that are taken, [first, end) counted from 0; empty for all.
    """

    list: str = ''
    folder: str = ''
    ranges: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class DatasetLayout:
    """A kind of dataset folder.

    Attributes:
        rgb: path of an image, with {name} and perhaps {split}; without an ending, those of `ENDINGS` are tried.
        auxiliary_image: likewise.
        label: likewise; empty where there are none: then every pixel is ignored.
        sequence: whether the samples follow one another in time, so that each knows its predecessor.
        auxiliary_channel: of a file with several channels the one that is the auxiliary image (MFNet: 3).
        sizes_differ: whether auxiliary images may have a size of their own; they are scaled to that of the RGB image,
            nearest neighbour. Otherwise another size is an error.
        splits: by name.
        default_split: the one to score on.
        label_offset: added to the values of label images; what then is no class is ignored.
        label_classes: class of each value (after the offset), for files with finer classes; empty for the value itself.
        depth_unit_m: metres of one step of integer depth.
        max_image_pixels: larger images are refused before they are decoded.
        thermal: how thermal values become its unit. The stretch `percentile` needs no unit; evaluation then uses it
            instead of the checkpoint's.
        note: what a user should know, e.g. that labels are no ground truth.
    """

    auxiliary: Modality
    rgb: str
    auxiliary_image: str
    label: str
    labels: LabelSpace
    splits: dict[str, Split]
    default_split: str
    sequence: bool = False
    auxiliary_channel: int | None = None
    sizes_differ: bool = False
    label_offset: int = 0
    label_classes: tuple[int, ...] = ()
    depth_unit_m: float = MILLIMETRE_M
    max_image_pixels: int = field(default=DEFAULT_DECODING.max_image_pixels, repr=False)  # no part of a digest
    thermal: ThermalScaling = field(default_factory=lambda: ThermalScaling(1.0, 0.0, 'raw', low=0.0, high=255.0))
    note: str = ''

    def __post_init__(self) -> None:
        if self.default_split not in self.splits:
            raise ConfigError(f'default_split is {self.default_split!r}; the splits are {sorted(self.splits)}')
        for pattern in (self.rgb, self.auxiliary_image, self.label):
            if pattern and '{name}' not in pattern:
                raise ConfigError(f'the path {pattern!r} has no {{name}}')
        if self.label_classes and max(self.label_classes) >= len(self.labels):
            raise ConfigError(f'label_classes names class {max(self.label_classes)} of {len(self.labels)}')


def layout_folder() -> Path:
    """The folder of the layouts that come with this package.

    Raises:
        ConfigError: it is not where a checkout, ROS or pip put it.
    """
    prefixes = [Path(prefix) / 'share' / 'rsgmamba_ros' for prefix in
                [*os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep), sys.prefix] if prefix]
    tried = [root / 'config' / 'datasets' for root in (Path(__file__).resolve().parents[2], *prefixes)]
    for folder in tried:
        if folder.is_dir():
            return folder
    raise ConfigError(f'the dataset layouts were not found; looked in {[str(folder) for folder in tried]}')


def layout_names() -> list[str]:
    """Names of the layouts that come with this package."""
    return sorted(path.stem for path in layout_folder().glob('*.yaml'))


def load_layout(name: str | Path) -> DatasetLayout:
    """A layout by its name or by the path of a YAML file.

    Raises:
        ConfigError: no such layout, or the file cannot be used.
    """
    path = Path(name)
    if path.suffix not in ('.yaml', '.yml'):
        if str(name) not in layout_names():
            raise ConfigError(f'dataset layout {str(name)!r} is unknown; known: {layout_names()}, or give a YAML file')
        path = layout_folder() / f'{name}.yaml'
    return load_config(path, DatasetLayout)


def sample_names(root: Path, layout: DatasetLayout, split: str) -> tuple[list[str], str]:
    """Names of a split's samples, and what {split} stands for in its paths.

    Args:
        split: a split's name, or a list file's name or path, with or without .txt; empty for the layout's default.

    Raises:
        DatasetError: no such list or folder, or it holds nothing; the message lists the paths that were tried.
    """
    split = split or layout.default_split
    entry = layout.splits.get(split) or Split(list=split if split.endswith('.txt') else f'{split}.txt')
    folder = entry.folder or split
    pattern = layout.rgb.replace('{split}', folder)
    names = _listed(root, entry.list, split, pattern) if entry.list else _found(root, pattern)
    if entry.ranges:
        names = [name for first, end in entry.ranges for name in names[first:end]]
    if not names:
        raise DatasetError(f'split {split!r} of {str(root)!r} has no samples')
    return names, folder


def _listed(root: Path, list_name: str, split: str, pattern: str) -> list[str]:
    tried = [root / list_name, Path(list_name)]
    for path in tried:
        if path.is_file():
            lines = map(str.strip, path.read_text(encoding='utf-8-sig', errors='replace').split('\n'))
            return [_name_in_line(root, line, pattern) for line in lines if line and not line.startswith('#')]
    raise DatasetError(f'split {split!r}: looked for the list {" and ".join(map(repr, map(str, tried)))}')


def _name_in_line(root: Path, line: str, pattern: str) -> str:
    """The name in a line: its first word, or the whole line or its last word where only then there is an image."""
    words = [line.split()[0], line, line.split()[-1]]
    names = [_without_ending(Path(word)) for word in words]
    for name in names:
        if any(path.is_file() for path in _candidates(root / pattern.replace('{name}', name))):
            return name
    return names[0]


def _without_ending(path: Path) -> str:
    # Not `stem` for all: TUM's names are times in seconds, with a dot.
    return path.stem if _has_ending(path) else path.name


def _candidates(path: Path) -> list[Path]:
    """The paths that an image may have, with endings in small letters and in capitals."""
    if _has_ending(path):
        return [path, *(path.with_suffix(change(path.suffix)) for change in (str.lower, str.upper)
                        if change(path.suffix) != path.suffix)]
    return [path.with_name(path.name + ending) for ending in (*ENDINGS, *map(str.upper, ENDINGS))]


def _found(root: Path, pattern: str) -> list[str]:
    folder = (root / pattern).parent
    if not folder.is_dir():
        raise DatasetError(f'looked for the folder {str(folder)!r}')
    before, after = Path(pattern).name.split('{name}')
    stems = [path.stem for path in folder.iterdir() if path.suffix.lower() in ENDINGS]
    after = after[:-len(Path(pattern).suffix)] if _has_ending(Path(pattern)) else after
    return sorted(stem[len(before):len(stem) - len(after)] for stem in stems
                  if stem.startswith(before) and stem.endswith(after))


def _has_ending(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS


def find_image(root: Path, pattern: str, *, name: str, split: str) -> Path:
    """The file of a pattern.

    Raises:
        DatasetError: there is none; the message lists the paths that were tried.
    """
    path = root / pattern.replace('{name}', name).replace('{split}', split)
    for candidate in _candidates(path):
        if candidate.is_file():
            return candidate
    endings = '' if _has_ending(path) else f' with one of the endings {", ".join(ENDINGS)}'
    raise DatasetError(f'looked for {str(path)!r}{endings}')
