import numpy as np
import pytest

from rsgmamba_ros.data.synthetic import SceneGenerator
from rsgmamba_ros.data.synthetic.dataset import render_room, SyntheticDataset
from rsgmamba_ros.vocabulary.errors import DatasetError
from rsgmamba_ros.vocabulary.images import Modality

SIZE = {'height': 48, 'width': 64}


@pytest.mark.parametrize('auxiliary', [Modality.DEPTH, Modality.THERMAL])
def test_samples_are_the_rendered_scenes_in_sensor_units(auxiliary, tmp_path):
    dataset = SyntheticDataset(auxiliary, first_seed=3, rooms=2, cache=tmp_path, **SIZE)
    assert len(dataset) == 4
    sample = dataset[2]
    rgb, encoded, label_map = render_room(auxiliary, 4, **SIZE)[0]
    np.testing.assert_array_equal(sample.rgb, rgb)
    np.testing.assert_array_equal(sample.label_map, label_map)
    assert sample.auxiliary.dtype == np.float32
    low, high = (0.3, 10) if auxiliary is Modality.DEPTH else (0, 60)
    valid = sample.auxiliary[np.isfinite(sample.auxiliary)]
    assert valid.size and low < valid.min() and valid.max() < high


def test_the_other_moment_of_the_room_is_the_earlier_image(tmp_path):
    dataset = SyntheticDataset(Modality.DEPTH, first_seed=0, rooms=1, cache=tmp_path, **SIZE)
    np.testing.assert_array_equal(dataset[0].earlier.rgb, dataset[1].rgb)
    np.testing.assert_array_equal(dataset[1].earlier.rgb, dataset[0].rgb)
    assert (dataset[0].rgb != dataset[1].rgb).any()


def test_rooms_are_rendered_once(tmp_path, monkeypatch):
    SyntheticDataset(Modality.DEPTH, first_seed=0, rooms=1, cache=tmp_path, **SIZE)
    monkeypatch.setattr(SceneGenerator, 'render', None)
    assert len(SyntheticDataset(Modality.DEPTH, first_seed=0, rooms=1, cache=tmp_path, **SIZE)) == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_written_is_a_known_error(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(DatasetError, match='cannot write'):
        SyntheticDataset(Modality.DEPTH, first_seed=0, rooms=1, cache=tmp_path / 'file', **SIZE)


def test_the_digest_tells_seeds_sizes_and_modalities_apart(tmp_path):
    def digest(auxiliary: Modality = Modality.DEPTH, *, first_seed: int = 0, height: int = 48) -> str:
        return SyntheticDataset(auxiliary, first_seed=first_seed, rooms=1, cache=tmp_path, height=height,
                                width=64).digest

    assert digest() == digest()
    assert len({digest(), digest(Modality.THERMAL), digest(first_seed=1), digest(height=64)}) == 4
