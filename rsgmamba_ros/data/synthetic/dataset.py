"""Synthetic scenes as a dataset: two moments of each room, rendered once and kept in a folder."""
from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from hashlib import sha256
import json
import os
from pathlib import Path
import shutil

import numpy as np
from tqdm import tqdm

from rsgmamba_ros.data import synthetic
from rsgmamba_ros.data.samples import Sample
from rsgmamba_ros.data.synthetic import SceneGenerator, SYNTHETIC_LABELS
from rsgmamba_ros.pipeline.preprocessing import sensor_units
from rsgmamba_ros.vocabulary.errors import DatasetError
from rsgmamba_ros.vocabulary.images import Modality, StampedImage
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig

#: Encoding of `Scene.encoded_auxiliary`.
_ENCODINGS = {Modality.DEPTH: '16UC1', Modality.THERMAL: 'mono16'}


class SyntheticDataset:
    """Rooms of consecutive seeds. Two moments of each room, about a second apart, are one sample each.

    Args:
        first_seed: seed of the first room; choose it so that training and held-out rooms do not overlap.
        rooms: number of rooms; there are twice as many samples.
        cache: folder that keeps the rendered images; what is missing there is rendered first.
        processes: number of processes that render in parallel.
    """

    labels = SYNTHETIC_LABELS
    is_labelled = True

    def __init__(self, auxiliary: Modality, *, first_seed: int, rooms: int, cache: Path, height: int = 240,
                 width: int = 320, processes: int = 1):
        self.auxiliary = auxiliary
        self._seeds = range(first_seed, first_seed + rooms)
        folder = Path(cache) / f'{auxiliary}_{first_seed}_{rooms}_{height}x{width}'
        if not _is_complete(folder):
            _render_all(folder, auxiliary, self._seeds, height, width, processes)
        self._arrays = {name: np.load(folder / f'{name}.npy', mmap_mode='r') for name in _LAYOUT}

    @property
    def digest(self) -> str:
        """SHA-256 of the source of the renderer, the auxiliary modality, the seeds and the size."""
        height, width = self._arrays['label_map'].shape[1:]
        return sha256(f'{_renderer()} {self.auxiliary} {self._seeds} {height}x{width}'.encode()).hexdigest()

    def __len__(self) -> int:
        return 2 * len(self._seeds)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        sample = self._moment(index)
        # The two moments of a room are neighbours: 0 and 1, 2 and 3, ...
        return Sample(sample.rgb, sample.auxiliary, sample.label_map, sample.name, earlier=self._moment(index ^ 1))

    def _moment(self, index: int) -> Sample:
        rgb, encoded, label_map = (np.array(self._arrays[name][index]) for name in _LAYOUT)
        image = StampedImage(self.auxiliary, 0, 0, encoded, _ENCODINGS[self.auxiliary])
        name = f'room {self._seeds[index // 2]}, moment {index % 2}'
        return Sample(rgb, sensor_units(image, PreprocessingConfig()), label_map, name)


_LAYOUT = {'rgb': (np.uint8, (3,)), 'auxiliary': (np.uint16, ()), 'label_map': (np.uint8, ())}


@lru_cache
def _renderer() -> str:
    """SHA-256 of the source of the renderer: another version renders other images."""
    sources = sorted(Path(synthetic.__file__).parent.glob('*.py'))
    return sha256(b''.join(source.read_bytes() for source in sources)).hexdigest()


def _is_complete(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / 'complete.json').read_text())['renderer'] == _renderer())
    except (OSError, ValueError, KeyError):
        return False


def _render_all(folder: Path, auxiliary: Modality, seeds: range, height: int, width: int, processes: int) -> None:
    # Two trainings that start together render into folders of their own; the first to finish renames its folder.
    unfinished = folder.with_name(f'{folder.name}.{os.getpid()}')
    try:
        unfinished.mkdir(parents=True, exist_ok=True)
        arrays = {name: np.lib.format.open_memmap(unfinished / f'{name}.npy', mode='w+', dtype=dtype,
                                                  shape=(2 * len(seeds), height, width, *extra))
                  for name, (dtype, extra) in _LAYOUT.items()}
    except OSError as error:
        raise DatasetError(f'cannot write rendered scenes to {str(folder)!r}: {error}') from error
    count = len(seeds)
    arguments = ([auxiliary] * count, seeds, [height] * count, [width] * count)
    with ProcessPoolExecutor(processes) as pool:
        rooms = pool.map(render_room, *arguments, chunksize=8)
        for room, moments in enumerate(tqdm(rooms, total=count, desc=f'rendering {auxiliary} rooms', unit='room')):
            for moment, images in enumerate(moments):
                for name, image in zip(_LAYOUT, images):
                    arrays[name][2 * room + moment] = image
    for array in arrays.values():
        array.flush()
    (unfinished / 'complete.json').write_text(json.dumps({'renderer': _renderer()}))
    if not _is_complete(folder):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        unfinished.rename(folder)
    except OSError:
        shutil.rmtree(unfinished)


def render_room(auxiliary: Modality, seed: int, height: int,
                width: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Render two moments of one room.

    Returns:
        For each moment RGB, (H, W, 3) uint8, the auxiliary image as a driver sends it, (H, W) uint16, and the label
        map, (H, W) uint8.
    """
    rng = np.random.default_rng([seed, 2])
    generator = SceneGenerator(seed, height=height, width=width, auxiliary=auxiliary)
    first = rng.uniform(0, 60)
    scenes = [generator.render(time_s) for time_s in (first, first + rng.uniform(0.3, 1.5))]
    return [(scene.rgb, scene.encoded_auxiliary, scene.label_map) for scene in scenes]
