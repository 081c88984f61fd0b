from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from rsgmamba_ros.data.corruptions import corrupt
from rsgmamba_ros.data.synthetic import SceneGenerator
from rsgmamba_ros.pipeline.monitoring.signal_quality import SignalQualityConfig, SignalQualityMonitor
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality, StampedImage

DATA = Path(__file__).parents[4] / 'shared' / 'data'
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason='real images (../shared/data) are not here')
ENCODED = {Modality.RGB: np.uint8, Modality.DEPTH: np.uint16, Modality.THERMAL: np.uint16}
ENCODINGS = {Modality.RGB: 'rgb8', Modality.DEPTH: '16UC1', Modality.THERMAL: 'mono16'}


def stamped(modality, pixels, index, encoding=None):
    stamp_ns = index * 100_000_000
    return StampedImage(modality, stamp_ns, stamp_ns, pixels, encoding or ENCODINGS[modality])


def pixels_at(modality, time_s, *, seed=3):
    auxiliary = Modality.DEPTH if modality is Modality.RGB else modality
    scene = SceneGenerator(seed, height=120, width=160, auxiliary=auxiliary).render(time_s)
    return scene.rgb if modality is Modality.RGB else scene.encoded_auxiliary


def assess_all(monitor, modality, images, *, start=0):
    return [monitor.assess(stamped(modality, pixels, start + i)) for i, pixels in enumerate(images)]


@pytest.mark.parametrize('modality', Modality)
def test_a_moving_scene_is_good(modality):
    qualities = assess_all(SignalQualityMonitor(), modality, [pixels_at(modality, 0.1 * i) for i in range(12)])
    assert all(quality.value > 0.95 and quality.causes == () for quality in qualities)


@pytest.mark.parametrize('modality', Modality)
def test_a_still_scene_with_sensor_noise_is_not_frozen(modality):
    qualities = assess_all(SignalQualityMonitor(), modality, [pixels_at(modality, 1 + 1e-5 * i) for i in range(12)])
    assert all(quality.value > 0.95 for quality in qualities)


@pytest.mark.parametrize('modality', Modality)
def test_an_image_repeated_with_new_stamps_is_frozen_from_the_second_repeat_and_recovers_at_once(modality):
    monitor, frozen = SignalQualityMonitor(), pixels_at(modality, 0.0)
    qualities = assess_all(monitor, modality, [frozen] * 4)
    assert [quality.value for quality in qualities] == [pytest.approx(1.0, abs=0.05), 0.5, 0.0, 0.0]
    assert qualities[1].causes == ('repeated',) and qualities[3].causes == ('frozen',)
    assert monitor.assess(stamped(modality, pixels_at(modality, 0.4), 4)).value > 0.95


def test_the_same_image_asked_for_twice_is_not_frozen():
    monitor, image = SignalQualityMonitor(), stamped(Modality.DEPTH, pixels_at(Modality.DEPTH, 0.0), 0)
    assert monitor.assess(image) == monitor.assess(image) == monitor.assess(image)
    assert monitor.assess(image).value > 0.95


def test_a_stream_compressed_alike_is_frozen_too():
    ok, buffer = cv2.imencode('.jpg', pixels_at(Modality.RGB, 0.0))
    assert ok
    qualities = assess_all(SignalQualityMonitor(), Modality.RGB, [cv2.imdecode(buffer, 1) for _ in range(3)])
    assert qualities[-1].causes == ('frozen',)


def test_a_bag_that_loops_is_not_frozen():
    monitor, images = SignalQualityMonitor(), [pixels_at(Modality.RGB, 0.1 * i) for i in range(3)]
    for _ in range(3):
        assert all(quality.value > 0.95 for quality in assess_all(monitor, Modality.RGB, images))


def test_an_image_of_an_earlier_time_is_assessed_by_itself():
    monitor = SignalQualityMonitor()
    assert monitor.assess(stamped(Modality.RGB, np.zeros((120, 160, 3), np.uint8), 5)).value == 0
    assert monitor.assess(stamped(Modality.RGB, pixels_at(Modality.RGB, 0.1), 1)).value > 0.95


def test_reset_forgets_earlier_images():
    monitor, image = SignalQualityMonitor(), pixels_at(Modality.RGB, 0.0)
    assess_all(monitor, Modality.RGB, [image] * 3)
    monitor.reset()
    assert monitor.assess(stamped(Modality.RGB, image, 3)).value > 0.95


def test_history_can_be_switched_off_for_simulated_cameras():
    monitor = SignalQualityMonitor(SignalQualityConfig(history_images=0))
    qualities = assess_all(monitor, Modality.RGB, [pixels_at(Modality.RGB, 0.0)] * 4)
    assert qualities[-1].value > 0.95


@pytest.mark.parametrize('modality', Modality)
@pytest.mark.parametrize('upper', [False, True])
def test_a_part_from_an_earlier_image_is_torn(modality, upper):
    images = [pixels_at(modality, 0.1 * i) for i in range(8)]
    torn = images[7].copy()
    half = slice(0, 60) if upper else slice(60, None)
    torn[half] = images[2][half]
    quality = assess_all(SignalQualityMonitor(), modality, [*images[:7], torn])[-1]
    assert 'torn' in quality.causes and 0.1 < quality.value < 0.5


@pytest.mark.parametrize('modality', Modality)
def test_an_image_of_zeros_is_worth_nothing(modality):
    monitor, image = SignalQualityMonitor(), np.zeros_like(pixels_at(modality, 0.0))
    assert monitor.assess(stamped(modality, image, 0)).value == 0.0


@pytest.mark.parametrize('pixels, encoding', [(np.full((60, 80), np.nan, np.float32), '32FC1'),
                                              (np.full((60, 80), np.inf, np.float32), '32FC1'),
                                              (np.full((60, 80), 65535, np.uint16), '16UC1')])
def test_depth_without_an_echo_is_empty(pixels, encoding):
    quality = SignalQualityMonitor().assess(stamped(Modality.DEPTH, pixels, 0, encoding))
    assert quality.value == 0.0 and quality.causes == ('empty',)


def test_few_echoes_are_sparse_and_the_fewer_the_worse():
    depth, values = pixels_at(Modality.DEPTH, 0.0), []
    rng = np.random.default_rng(0)
    for share in (0.4, 0.75, 0.85, 0.95):
        corrupted = np.where(rng.random(depth.shape) < share, np.uint16(0), depth)
        values.append(SignalQualityMonitor().assess(stamped(Modality.DEPTH, corrupted, 0)).value)
    assert values[0] > 0.95 and values[1] > values[2] > values[3]


def test_metres_sent_as_millimetres_are_out_of_range():
    depth = pixels_at(Modality.DEPTH, 0.0).astype(np.float32)
    quality = SignalQualityMonitor().assess(stamped(Modality.DEPTH, depth, 0, '32FC1'))
    assert quality.value == 0.0 and 'out_of_range' in quality.causes


def test_dim_light_lowers_the_quality_step_by_step():
    image = pixels_at(Modality.RGB, 0.0)
    values = [SignalQualityMonitor().assess(stamped(Modality.RGB, (image * gain).astype(np.uint8), 0)).value
              for gain in (1.0, 0.3, 0.15, 0.08, 0.01)]
    assert values[0] > 0.95 and all(a > b for a, b in zip(values[1:], values[2:])) and values[-1] < 0.1


def test_clipped_highlights_are_saturated():
    image = pixels_at(Modality.RGB, 0.0)
    clipped, _ = corrupt(image, 'over_exposure', 5, rng=np.random.default_rng(0))
    quality = SignalQualityMonitor().assess(stamped(Modality.RGB, clipped, 0))
    assert quality.value < 0.5 and 'saturated' in quality.causes


@pytest.mark.parametrize('modality, level', [(Modality.RGB, 120), (Modality.DEPTH, 2000), (Modality.THERMAL, 29815)])
def test_a_uniform_image_is_flat(modality, level):
    image = np.full_like(pixels_at(modality, 0.0), level)
    quality = SignalQualityMonitor().assess(stamped(modality, image, 0))
    assert quality.value == 0.0 and 'flat' in quality.causes


@pytest.mark.parametrize('modality, level, other', [
    (Modality.RGB, 120, 20), (Modality.RGB, 120, 220), (Modality.DEPTH, 2000, 1000), (Modality.DEPTH, 2000, 3000),
    (Modality.THERMAL, 29815, 29000), (Modality.THERMAL, 29815, 31000)])
def test_a_uniform_image_is_flat_with_up_to_one_other_pixel_in_twenty(modality, level, other):
    for share, is_flat in ((0.045, True), (0.055, False)):
        image = np.full((100, 1200, 3) if modality is Modality.RGB else (100, 1200), level, ENCODED[modality])
        image[:, :round(1200 * share)] = other
        quality = SignalQualityMonitor().assess(stamped(modality, image, 0))
        assert ('flat' in quality.causes) == is_flat


@pytest.mark.parametrize('modality, family', [(Modality.RGB, 'gaussian'), (Modality.DEPTH, 'axial_noise')])
def test_noise_above_the_usual_lowers_the_quality_step_by_step_but_never_to_nothing(modality, family):
    monitor = SignalQualityMonitor()
    assess_all(monitor, modality, [pixels_at(modality, 0.1 * i) for i in range(5)])
    image = pixels_at(modality, 0.5).astype(np.float32)
    values = []
    for severity in (1, 3, 5):
        clean = image.astype(np.uint8) if modality is Modality.RGB else np.where(image > 0, image / 1000, np.nan)
        clean = clean if modality is Modality.RGB else clean.astype(np.float32)
        corrupted, _ = corrupt(clean, family, severity, rng=np.random.default_rng(0))
        if modality is Modality.DEPTH:
            corrupted = np.nan_to_num(corrupted * 1000).astype(np.uint16)
        values.append(monitor.assess(stamped(modality, corrupted, 5 + severity)).value)
    assert values[0] > values[1] > values[2] >= 0.3 and values[2] < 0.5


def test_noise_is_flagged_from_the_first_image_on():
    corrupted, _ = corrupt(pixels_at(Modality.RGB, 0.0), 'gaussian', 5, rng=np.random.default_rng(0))
    assert 'noisy' in SignalQualityMonitor().assess(stamped(Modality.RGB, corrupted, 0)).causes


def test_another_size_is_doubted_until_it_stays():
    monitor, image = SignalQualityMonitor(), pixels_at(Modality.RGB, 0.0)
    monitor.assess(stamped(Modality.RGB, image, 0))
    smaller = [cv2.resize(pixels_at(Modality.RGB, 0.1 * i), (80, 60)) for i in range(1, 6)]
    qualities = assess_all(monitor, Modality.RGB, smaller, start=1)
    assert [quality.causes for quality in qualities] == [('resized',)] * 3 + [()] * 2


def test_each_sensor_is_assessed_alone():
    monitor = SignalQualityMonitor()
    assess_all(monitor, Modality.RGB, [pixels_at(Modality.RGB, 0.0)] * 3)
    assert monitor.assess(stamped(Modality.DEPTH, pixels_at(Modality.DEPTH, 0.3), 3)).value > 0.95


@pytest.mark.parametrize('shape', [(1, 1), (3, 400), (5, 5), (61, 33)])
def test_odd_sizes_are_safe(shape):
    monitor, rng = SignalQualityMonitor(), np.random.default_rng(0)
    for modality, dtype, top in ((Modality.RGB, np.uint8, 256), (Modality.DEPTH, np.uint16, 5000)):
        pixels = rng.integers(0, top, (*shape, 3) if modality is Modality.RGB else shape).astype(dtype)
        assert 0.0 <= monitor.assess(stamped(modality, pixels, 0)).value <= 1.0


def test_a_config_without_rows_is_refused():
    with pytest.raises(ConfigError, match='sampled_rows'):
        replace(SignalQualityConfig(), sampled_rows=1)


@needs_data
def test_real_daylight_and_indoor_images_raise_no_alarm():
    patterns = {
        Modality.RGB: (('sevenscenes', '*.color.jpg', 1), ('msrs/rgb', '*D.*', 4), ('nyuv2/rgb', '*', 20)),
        Modality.DEPTH: (('sevenscenes', '*.depth.png', 1), ('nyuv2/depth', '*', 20)),
        Modality.THERMAL: (('msrs/thermal', '*', 4),),
    }
    for modality, folders in patterns.items():
        for folder, pattern, step in folders:
            files = sorted((DATA / folder).glob(pattern))[::step]
            images = [cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in files]
            images = [image[..., 0] if modality is Modality.THERMAL and image.ndim == 3 else image for image in images]
            qualities = assess_all(SignalQualityMonitor(), modality, images)
            assert np.mean([quality.value < 0.9 for quality in qualities]) < 0.02


@needs_data
def test_real_night_images_are_darker_but_usable():
    images = [cv2.imread(str(file)) for file in sorted((DATA / 'msrs/rgb').glob('*N.*'))[::4]]
    values = [quality.value for quality in assess_all(SignalQualityMonitor(), Modality.RGB, images)]
    assert min(values) > 0.2 and np.mean(values) < 0.95


def test_temperatures_without_a_number_are_empty():
    pixels = np.full((24, 32), np.nan, np.float32)
    quality = SignalQualityMonitor().assess(stamped(Modality.THERMAL, pixels, 0, '32FC1'))
    assert quality.value == 0 and quality.causes == ('empty',)
