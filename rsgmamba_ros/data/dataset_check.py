"""A report on a dataset folder: counts, sizes, encodings, class frequencies, and every sample that cannot be read."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from rsgmamba_ros.data.folder_dataset import FolderDataset, read_image
from rsgmamba_ros.data.samples import Sample
from rsgmamba_ros.vocabulary.errors import DatasetError
from rsgmamba_ros.vocabulary.images import Modality


@dataclass(eq=False)
class DatasetReport:
    """Findings over one split.

    Attributes:
        samples: number of samples that the split names.
        sizes: how many samples have which height and width.
        encodings: how many files hold which pixels, by `rgb`, the auxiliary modality and `label`.
        pixels: labelled pixels of each class, (K,) int64.
        ignored: share of the pixels without a class.
        auxiliary_range: least and greatest measurement, metres or the thermal unit.
        invalid: share of the auxiliary pixels without a measurement.
        problems: one line for each sample that cannot be used.
    """

    samples: int
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    encodings: dict[str, Counter[str]] = field(default_factory=dict)
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    ignored: float = 0.0
    auxiliary_range: tuple[float, float] = (float('nan'), float('nan'))
    invalid: float = 0.0
    problems: list[str] = field(default_factory=list)


def check_dataset(dataset: FolderDataset, *,
                  progress: Callable[[Iterable[int]], Iterable[int]] = iter) -> DatasetReport:
    """Read every sample of a split."""
    report = DatasetReport(len(dataset), pixels=np.zeros(len(dataset.labels), np.int64))
    parts = (str(Modality.RGB), str(dataset.auxiliary), 'label')
    report.encodings = {part: Counter() for part in parts}
    valid_count = total = 0
    for index in progress(range(len(dataset))):
        try:
            sample = dataset[index]
            for part, path in zip(parts, dataset.paths(index)):
                report.encodings[part][_encoding(read_image(path))] += 1
        except DatasetError as error:
            report.problems.append(str(error))
            continue
        valid_count += _count_pixels(report, sample)
        total += sample.auxiliary.size
    if total:
        report.invalid = 1 - valid_count / total
        report.ignored = 1 - float(report.pixels.sum()) / total
    return report


def _count_pixels(report: DatasetReport, sample: Sample) -> int:
    """Add a sample to size, class counts and range; the number of its auxiliary pixels with a measurement."""
    height, width = sample.label_map.shape
    report.sizes[height, width] += 1
    report.pixels += np.bincount(sample.label_map.ravel(), minlength=256)[:len(report.pixels)]
    valid = sample.auxiliary[np.isfinite(sample.auxiliary)]
    if valid.size:
        low, high = report.auxiliary_range
        # fmin and fmax leave out the NaN of a range that is still empty.
        report.auxiliary_range = float(np.fmin(low, valid.min())), float(np.fmax(high, valid.max()))
    return int(valid.size)


def _encoding(image: np.ndarray) -> str:
    channels = image.shape[2] if image.ndim == 3 else 1
    return f'{8 * image.dtype.itemsize} bit {image.dtype.kind} x {channels}'


def describe(report: DatasetReport, dataset: FolderDataset) -> str:
    """The report for people."""
    unit = 'm' if dataset.auxiliary is Modality.DEPTH else dataset.layout.thermal.unit
    low, high = report.auxiliary_range
    lines = [f'samples: {report.samples}, of them unusable: {len(report.problems)}',
             'sizes: ' + ', '.join(f'{h}x{w} ({count})' for (h, w), count in report.sizes.most_common()),
             *(f'{part} files: ' + ', '.join(f'{name} ({count})' for name, count in counts.most_common())
               for part, counts in report.encodings.items()),
             f'{dataset.auxiliary}: {low:.3f} to {high:.3f} {unit}, {100 * report.invalid:.2f} % without a measurement',
             f'pixels without a class: {100 * report.ignored:.2f} %', 'class frequencies, % of the labelled pixels:']
    total = max(int(report.pixels.sum()), 1)
    width = max(map(len, dataset.labels.names))
    lines += [f'  {index:3d} {name:{width}s} {100 * count / total:6.2f}'
              for index, (name, count) in enumerate(zip(dataset.labels.names, report.pixels))]
    if dataset.layout.note:
        lines.append(f'note: {dataset.layout.note}')
    return '\n'.join(lines)
