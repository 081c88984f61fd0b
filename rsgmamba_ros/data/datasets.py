"""Open a dataset by the name that a user gives: a folder in a known layout, or rendered rooms."""
from __future__ import annotations

from pathlib import Path

from rsgmamba_ros.data.folder_dataset import FolderDataset
from rsgmamba_ros.data.layouts import layout_names, load_layout
from rsgmamba_ros.data.samples import Dataset
from rsgmamba_ros.data.synthetic.dataset import SyntheticDataset
from rsgmamba_ros.vocabulary.errors import DatasetError
from rsgmamba_ros.vocabulary.images import Modality

#: First seed and number of rooms. Training and validation use others, see config/train_synthetic_depth.yaml.
SYNTHETIC_SPLITS = {'val': (1_000_000, 32), 'test': (2_000_000, 64)}
SYNTHETIC_CACHE = Path('out/cache')


def open_dataset(data: str, *, split: str = '', layout: str | None = None, auxiliary: Modality | None = None,
                 names: tuple[str, ...] | None = None) -> Dataset:
    """Open a dataset.

    Args:
        data: a folder, or `synthetic`.
        split: see `layouts.sample_names`; of `synthetic` a key of `SYNTHETIC_SPLITS`.
        layout: name or file of a layout; recognised from the folder if it is None.
        auxiliary: which one is wanted; narrows down the layouts, and chooses among the synthetic ones.
        names: class names that are wanted; narrow down the layouts that have labels.

    Raises:
        DatasetError: the folder fits no layout, or several; the message lists the paths that were tried.
    """
    if data == 'synthetic':
        if (split or 'test') not in SYNTHETIC_SPLITS:
            raise DatasetError(f'synthetic split {split!r} is unknown; expected one of {list(SYNTHETIC_SPLITS)}')
        first, rooms = SYNTHETIC_SPLITS[split or 'test']
        return SyntheticDataset(auxiliary or Modality.DEPTH, first_seed=first, rooms=rooms, cache=SYNTHETIC_CACHE)
    if layout is not None:
        return FolderDataset(data, load_layout(layout), split=split)
    return recognise(data, split=split, auxiliary=auxiliary, names=names)


def recognise(data: str | Path, *, split: str = '', auxiliary: Modality | None = None,
              names: tuple[str, ...] | None = None) -> FolderDataset:
    """Open a folder in the first layout that fits.

    Raises:
        DatasetError: none fits; the message gives the reason for each layout.
    """
    if not Path(data).is_dir():
        raise DatasetError(f'{str(data)!r} is no folder')
    problems = []
    for name in layout_names():
        layout = load_layout(name)
        if auxiliary not in (None, layout.auxiliary):
            problems.append(f'{name}: has {layout.auxiliary}, not {auxiliary}')
        elif layout.label and names not in (None, layout.labels.names):
            problems.append(f'{name}: has other classes')
        else:
            try:
                return FolderDataset(data, layout, split=split)
            except DatasetError as error:
                problems.append(f'{name}: {error}')
    raise DatasetError(f'{str(data)!r} is in no known layout. ' + '; '.join(problems))
