"""Folders of images of real sensors, which have no labels: what clean looks like, and rooms of other cameras."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rsgmamba_ros.data.folder_dataset import FolderDataset
from rsgmamba_ros.data.layouts import load_layout


@dataclass(frozen=True, eq=False)
class SensorImages:
    """The images of one sensor that may be used.

    Attributes:
        dataset: all images of the folder.
        indices: of those that take part.
    """

    dataset: FolderDataset
    indices: tuple[int, ...]


@dataclass(frozen=True)
class RealSensors:
    """Folders of unlabelled images of real sensors, one a sensor.

    Attributes:
        path: holds the folders.
        layout: of each folder, see `data.layouts`.
        names: of the folders.
        left_out: files of image names that take no part, one name `FOLDER__IMAGE` a line; such as labelled ones.
        weight: how much a real sensor counts in the prior beside a simulated one.
        repeats: how often it is seen in an epoch beside a simulated one.
    """

    path: Path
    layout: str = 'sensor_frames'
    names: tuple[str, ...] = ()
    left_out: tuple[Path, ...] = ()
    weight: float = 3.0
    repeats: int = 2

    def images(self, name: str) -> SensorImages:
        """The images of one folder, without those that are left out.

        Raises:
            DatasetError: the folder cannot be used.
        """
        dataset = FolderDataset(self.path / name, load_layout(self.layout))
        left_out = {line.strip() for path in self.left_out for line in path.read_text(encoding='utf-8').splitlines()}
        return SensorImages(dataset, tuple(index for index, image in enumerate(dataset.names)
                                           if f'{name}__{image}' not in left_out))
