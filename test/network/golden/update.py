"""Write the golden outputs of the shipped networks anew, after one was trained again.

`python test/network/golden/update.py`

The inputs are two rendered rooms at two moments each, kept beside the outputs so that a change of the renderer changes
nothing here.
"""
from __future__ import annotations

from pathlib import Path
import tempfile

import numpy as np

from rsgmamba_ros.data.synthetic.dataset import SyntheticDataset
from rsgmamba_ros.network.shipped import checkpoint_path
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.vocabulary.images import BundleSlot, ImageBundle, Modality, Presence, StampedImage

FOLDER = Path(__file__).parent
#: Shipped network -> the modality beside RGB.
NETWORKS = {'lite_nyuv2_13': Modality.DEPTH, 'lite_msrs_3': Modality.THERMAL,
            'nano_synthetic_depth': Modality.DEPTH, 'nano_synthetic_thermal': Modality.THERMAL}
HEIGHT, WIDTH, ROOMS, FIRST_SEED = 120, 160, 2, 7


def golden_outputs(name: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs of a shipped network for the golden inputs.

    Returns:
        `label_map`, (4, H, W) uint8; `confidence`, (4, H, W) uint8; `reliability`, (4, 2) float32, RGB first.
    """
    auxiliary = NETWORKS[name]
    segmenter = Segmenter(checkpoint_path(name, auxiliary), device='cpu', precision='float32')
    label_maps, confidences, reliabilities = [], [], []
    for rgb, other in zip(inputs['rgb'], inputs[auxiliary.value]):
        segmenter.reset()
        images = {Modality.RGB: StampedImage(Modality.RGB, 0, 0, rgb, 'rgb8'),
                  auxiliary: StampedImage(auxiliary, 0, 0, other, '32FC1')}
        slots = {modality: BundleSlot(Presence.PRESENT, image, 0.0, 0.0) for modality, image in images.items()}
        result = segmenter.segment(ImageBundle(Modality.RGB, slots, 0))
        label_maps.append(result.label_map)
        confidences.append(result.confidence)
        reliabilities.append([result.reliability[modality].reliability for modality in images])
    return {'label_map': np.stack(label_maps), 'confidence': np.stack(confidences),
            'reliability': np.array(reliabilities, np.float32)}


def _inputs() -> dict[str, np.ndarray]:
    images: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as cache:
        for auxiliary in (Modality.DEPTH, Modality.THERMAL):
            rooms = SyntheticDataset(auxiliary, first_seed=FIRST_SEED, rooms=ROOMS, cache=Path(cache), height=HEIGHT,
                                     width=WIDTH)
            samples = [rooms[index] for index in range(len(rooms))]
            images['rgb'] = np.stack([sample.rgb for sample in samples])
            images[auxiliary.value] = np.stack([sample.auxiliary for sample in samples])
    return images


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez_compressed(path, allow_pickle=False, **arrays)


if __name__ == '__main__':
    if not (FOLDER / 'inputs.npz').exists():
        _save(FOLDER / 'inputs.npz', _inputs())
    with np.load(FOLDER / 'inputs.npz') as stored:
        golden_inputs = dict(stored)
    for network in NETWORKS:
        _save(FOLDER / f'{network}.npz', golden_outputs(network, golden_inputs))
