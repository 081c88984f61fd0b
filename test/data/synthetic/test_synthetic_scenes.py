import numpy as np
import pytest

from rsgmamba_ros.data.synthetic import SceneGenerator, SYNTHETIC_LABELS
from rsgmamba_ros.vocabulary.images import Modality

AUXILIARIES = (Modality.DEPTH, Modality.THERMAL)


@pytest.mark.parametrize('auxiliary', AUXILIARIES)
@pytest.mark.parametrize('size', [(240, 320), (61, 83)])
def test_images_have_the_stated_shapes_and_types(auxiliary, size):
    scene = SceneGenerator(1, height=size[0], width=size[1], auxiliary=auxiliary).render(0.5)
    assert scene.rgb.shape == (*size, 3) and scene.rgb.dtype == np.uint8
    assert scene.auxiliary.shape == size and scene.auxiliary.dtype == np.float32
    assert scene.label_map.shape == size and scene.label_map.dtype == np.uint8
    assert scene.label_map.max() < len(SYNTHETIC_LABELS)


@pytest.mark.parametrize('auxiliary', AUXILIARIES)
def test_equal_seed_and_time_give_equal_images_in_any_order(auxiliary):
    first, second = (SceneGenerator(5, height=60, width=80, auxiliary=auxiliary) for _ in range(2))
    one = [first.render(t) for t in (0.0, 0.1)]
    other = [second.render(t) for t in (0.1, 0.0)][::-1]
    for a, b in zip(one, other):
        np.testing.assert_array_equal(a.rgb, b.rgb)
        np.testing.assert_array_equal(a.auxiliary, b.auxiliary)
        np.testing.assert_array_equal(a.label_map, b.label_map)


def test_every_class_appears_and_none_fills_the_images():
    counts = np.zeros(len(SYNTHETIC_LABELS))
    for seed in range(40):
        label_map = SceneGenerator(seed, height=60, width=80).render().label_map
        counts += np.bincount(label_map.ravel(), minlength=len(counts))
    share = counts / counts.sum()
    assert share.min() > 0.01 and share.max() < 0.6


def test_noise_differs_between_images_of_a_still_moment():
    generator = SceneGenerator(2, height=60, width=80)
    a, b = generator.render(1.0), generator.render(1.0001)
    assert (a.rgb != b.rgb).mean() > 0.3


def test_objects_move_so_far_that_a_frozen_image_is_wrong_within_a_second():
    moved = []
    for seed in range(12):
        generator = SceneGenerator(seed, height=120, width=160)
        before, after = generator.render(3.0).label_map, generator.render(4.0).label_map
        is_object = (before > 1) | (after > 1)
        moved.append((before != after)[is_object].mean())
    assert np.median(moved) > 0.15


def test_a_sequence_is_smooth():
    generator = SceneGenerator(4, height=120, width=160)
    changes = [(generator.render(t).label_map != generator.render(t + 0.01).label_map).mean() for t in (0.0, 2.0, 7.0)]
    assert max(changes) < 0.05


def test_depth_is_metric_and_misses_echoes_where_a_kinect_does():
    scene = SceneGenerator(3).render()
    lost = np.isnan(scene.auxiliary)
    assert 0.002 < lost.mean() < 0.5
    assert np.nanmin(scene.auxiliary) > 0.4 and np.nanmax(scene.auxiliary) <= 8.0


def test_depth_noise_grows_with_distance():
    generator = SceneGenerator(3)
    images = np.stack([generator.render(1.0 + 1e-4 * i).auxiliary for i in range(12)])
    mean, spread = images.mean(axis=0), images.std(axis=0)
    near, far = spread[(mean > 1) & (mean < 2.5)], spread[(mean > 5) & (mean < 7)]
    assert np.median(far) > 3 * np.median(near)


def test_a_person_is_warmer_than_the_room_and_a_person_has_no_fixed_colour():
    scene = SceneGenerator(0, auxiliary=Modality.THERMAL).render(1.0)
    person = SYNTHETIC_LABELS.names.index('person')
    warmer = np.median(scene.auxiliary[scene.label_map == person]) - np.median(scene.auxiliary)
    assert warmer > 4.0


@pytest.mark.parametrize('auxiliary, encoding', list(zip(AUXILIARIES, ('16UC1', 'mono16'))))
def test_sensor_encoding_gives_the_values_back(auxiliary, encoding):
    scene = SceneGenerator(6, height=60, width=80, auxiliary=auxiliary).render()
    raw = scene.encoded_auxiliary
    assert raw.dtype == np.uint16 and scene.auxiliary_encoding == encoding
    if auxiliary is Modality.DEPTH:
        back = np.where(raw == 0, np.nan, raw / 1000.0)
        np.testing.assert_array_equal(np.isnan(scene.auxiliary), raw == 0)
    else:
        back = raw / 100.0 - 273.15
    np.testing.assert_allclose(back, scene.auxiliary, atol=1e-3)


def test_rgb_is_no_auxiliary():
    with pytest.raises(ValueError, match='depth or thermal'):
        SceneGenerator(0, auxiliary=Modality.RGB)


def test_camera_matrix_has_the_field_of_view_of_a_kinect():
    matrix = SceneGenerator(0, height=480, width=640).camera_matrix
    assert matrix[0, 0] == pytest.approx(525.0)
