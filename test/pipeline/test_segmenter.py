from dataclasses import replace

import numpy as np
import pytest
import torch

from rsgmamba_ros.data.synthetic import SceneGenerator
from rsgmamba_ros.network.checkpoint import Checkpoint, save_checkpoint
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.network.rsgmamba import RSGMamba
from rsgmamba_ros.pipeline.execution.engine import calibrated_reliability, choose_device, choose_precision, Engine
from rsgmamba_ros.pipeline.execution.network_path import HostPath, PATHS
from rsgmamba_ros.pipeline.monitoring.registration import EVERY, FEWEST_BUNDLES
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.pipeline.segmenter_config import SegmenterConfig
from rsgmamba_ros.vocabulary.errors import BackendUnavailableError, ConfigError, ImageError
from rsgmamba_ros.vocabulary.images import BundleSlot, ImageBundle, Modality, Presence, StampedImage
from rsgmamba_ros.vocabulary.labels import LabelSpace
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig, ThermalScaling

RGB, DEPTH, THERMAL = Modality


@pytest.fixture(scope='module')
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    network = create_network('nano', classes=3, dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), decoder_width=8).eval()
    calibration = {'rgb': {'x': [-8.0, 8.0], 'y': [0.2, 1.0]}}
    return Checkpoint(network, LabelSpace(('a', 'b', 'c')), PreprocessingConfig(40, 64), calibration)


@pytest.fixture
def segmenter(checkpoint) -> Segmenter:
    return Segmenter(checkpoint, device='cpu')


def rgb_image(stamp_ns: int = 0, *, shape: tuple = (48, 80, 3)) -> StampedImage:
    pixels = np.random.default_rng(stamp_ns + 1).integers(0, 255, shape, dtype=np.uint8)
    return StampedImage(RGB, stamp_ns, stamp_ns, pixels, 'rgb8', 'camera')


def depth_image(stamp_ns: int = 0) -> StampedImage:
    rng = np.random.default_rng(stamp_ns + 2)
    slope = np.linspace(1000, 6000, 80) + rng.normal(0, 5, (48, 80))
    return StampedImage(DEPTH, stamp_ns, stamp_ns, slope.astype(np.uint16), '16UC1', 'depth_camera')


def bundle(*images: StampedImage) -> ImageBundle:
    slots = {image.modality: BundleSlot(Presence.PRESENT, image, 0.0, 0.01) for image in images}
    for modality in (RGB, DEPTH):
        slots.setdefault(modality, BundleSlot(Presence.MISSING, reason='stopped'))
    return ImageBundle(images[0].modality, slots, 0, ('said before',))


def test_both_modalities_give_labels_at_the_leading_images_size(segmenter):
    result = segmenter.segment(bundle(rgb_image(5), depth_image(5)))
    assert result.label_map.shape == result.confidence.shape == (48, 80)
    assert (result.stamp_ns, result.frame_id, result.leader) == (5, 'camera', RGB)
    for modality in (RGB, DEPTH):
        entry = result.reliability[modality]
        assert entry.used and 0 < entry.reliability <= 1
        assert entry.reliability == pytest.approx(entry.learned * entry.signal_quality)
    assert result.reports == ('said before',)


def test_a_missing_modality_has_reliability_zero_and_says_so(segmenter):
    for present, absent in ((rgb_image(), DEPTH), (depth_image(), RGB)):
        result = segmenter.segment(bundle(present))
        entry = result.reliability[absent]
        assert (entry.reliability, entry.used, entry.causes) == (0, False, ('missing',))
        assert result.reliability[present.modality].reliability > 0


def test_a_depth_image_without_content_is_left_out_with_the_result_of_rgb_alone(segmenter):
    empty = replace(depth_image(), pixels=np.zeros((48, 80), np.uint16))
    alone = segmenter.segment(bundle(rgb_image()))
    result = segmenter.segment(bundle(rgb_image(), empty))
    np.testing.assert_array_equal(result.label_map, alone.label_map)
    assert not result.reliability[DEPTH].used and result.reliability[DEPTH].reliability == 0


def test_an_unreadable_auxiliary_image_is_left_out_and_reported(segmenter):
    tiny = replace(depth_image(), pixels=np.ones((1, 1), np.uint16))
    result = segmenter.segment(bundle(rgb_image(), tiny))
    assert result.reliability[DEPTH].causes == ('unreadable',)
    assert any('1x1' in report for report in result.reports)


def test_an_unreadable_leader_without_another_image_is_an_error(segmenter):
    with pytest.raises(ImageError, match='1x1'):
        segmenter.segment(bundle(rgb_image(shape=(1, 1, 3))))


def test_a_frozen_depth_stream_is_left_out_until_it_moves(segmenter):
    still = depth_image(0)
    for index in range(4):
        result = segmenter.segment(bundle(rgb_image(index), replace(still, stamp_ns=index)))
    assert result.reliability[DEPTH].reliability == 0 and not result.reliability[DEPTH].used
    assert 'frozen' in result.reliability[DEPTH].causes
    assert segmenter.segment(bundle(rgb_image(9), depth_image(9))).reliability[DEPTH].used


def test_a_frozen_stream_names_expect_noise_and_is_used_without_noise_expected(checkpoint):
    def last_of_three(**settings):
        segmenter = Segmenter(checkpoint, device='cpu', config=SegmenterConfig(**settings))
        for stamp_ns in range(3):
            result = segmenter.segment(bundle(rgb_image(stamp_ns), replace(depth_image(), stamp_ns=stamp_ns)))
        return result
    frozen, still = last_of_three(), last_of_three(expect_noise=False)
    assert not frozen.reliability[DEPTH].used
    assert 'set expect_noise to false' in frozen.reliability[DEPTH].advice
    assert any(report.startswith('depth: ') and 'expect_noise' in report for report in frozen.reports)
    assert still.reliability[DEPTH].used and not still.reliability[DEPTH].advice


def test_depth_in_another_unit_names_the_parameter(segmenter):
    image = depth_image()
    result = segmenter.segment(bundle(rgb_image(), replace(image, pixels=image.pixels * np.uint16(10))))
    assert 'set depth_unit_m' in result.reliability[DEPTH].advice


@pytest.mark.parametrize('stretch', ['checkpoint', 'range', 'percentile'])
def test_the_thermal_stretch_can_be_chosen(checkpoint, stretch):
    thermal = Segmenter(checkpoint, device='cpu', config=SegmenterConfig(thermal_stretch=stretch)).preprocessing.thermal
    assert thermal.stretch.value == ('range' if stretch == 'checkpoint' else stretch)


def test_the_scale_of_the_thermal_camera_can_be_given(checkpoint):
    own = replace(checkpoint, preprocessing=replace(checkpoint.preprocessing, thermal=ThermalScaling(0.01, -273.15)))
    given = Segmenter(own, device='cpu', config=SegmenterConfig(thermal_scale=0.04, thermal_offset=-40.0))
    assert (given.preprocessing.thermal.scale, given.preprocessing.thermal.offset) == (0.04, -40.0)
    left = Segmenter(own, device='cpu').preprocessing.thermal
    assert (left.scale, left.offset) == (0.01, -273.15)


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('value', [np.inf, -np.inf, np.nan, 1e38, -1e38, 0.0])
@pytest.mark.parametrize('modality', [DEPTH, THERMAL])
def test_float_images_with_any_value_warn_of_nothing(value, modality):
    torch.manual_seed(0)
    network = create_network('nano', classes=3, dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), decoder_width=8,
                             auxiliary=modality).eval()
    segmenter = Segmenter(Checkpoint(network, LabelSpace(('a', 'b', 'c')), PreprocessingConfig(40, 64)), device='cpu')
    pixels = depth_image().pixels.astype(np.float32) * np.float32(1e-3)
    pixels[:20, :50], pixels[40, 60] = value, value
    for stamp_ns in range(2):
        image = StampedImage(modality, stamp_ns, stamp_ns, pixels + np.float32(1e-3 * stamp_ns), '32FC1')
        slots = {one.modality: BundleSlot(Presence.PRESENT, one, 0.0, 0.0) for one in (rgb_image(stamp_ns), image)}
        assert segmenter.segment(ImageBundle(RGB, slots, 0)).reliability[modality].used


def test_the_only_image_is_used_however_bad_it_is(segmenter):
    black = replace(rgb_image(), pixels=np.zeros((48, 80, 3), np.uint8))
    result = segmenter.segment(bundle(black))
    assert result.reliability[RGB].used and result.reliability[RGB].reliability < 0.05


def test_a_modality_that_the_checkpoint_does_not_know_is_named(segmenter):
    thermal = StampedImage(THERMAL, 0, 0, np.zeros((48, 80), np.uint16), 'mono16')
    slots = {RGB: BundleSlot(Presence.PRESENT, rgb_image()), THERMAL: BundleSlot(Presence.PRESENT, thermal)}
    result = segmenter.segment(ImageBundle(RGB, slots, 0))
    assert result.reliability[THERMAL].causes == ('not_in_checkpoint',)
    assert set(result.reliability) == {RGB, DEPTH, THERMAL}


def test_the_output_size_can_be_chosen(checkpoint):
    segmenter = Segmenter(checkpoint, device='cpu', config=SegmenterConfig(output_height=24, output_width=32))
    assert segmenter.segment(bundle(rgb_image())).label_map.shape == (24, 32)
    with pytest.raises(ConfigError, match='both sides'):
        SegmenterConfig(output_height=24)


def test_late_fusion_can_be_left_out(checkpoint):
    late = replace(checkpoint, network=RSGMamba(replace(checkpoint.network.config, late_fusion=True)).eval())
    late.network.load_state_dict(checkpoint.network.state_dict())
    pair = bundle(rgb_image(), depth_image())
    confidences = [Segmenter(each, device='cpu', config=SegmenterConfig(late_fusion=chosen)).segment(pair).confidence
                   for each, chosen in ((checkpoint, True), (late, False), (late, True))]
    assert np.array_equal(confidences[0], confidences[1])
    assert not np.array_equal(confidences[1], confidences[2])


def test_a_checkpoint_file_gives_the_same_labels(checkpoint, tmp_path):
    save_checkpoint(tmp_path / 'c.safetensors', checkpoint, dtype=torch.float32)
    first, second = (Segmenter(item, device='cpu') for item in (checkpoint, tmp_path / 'c.safetensors'))
    given = bundle(rgb_image(), depth_image())
    np.testing.assert_array_equal(first.segment(given).label_map, second.segment(given).label_map)


def test_calibration_is_piecewise_linear_and_zero_where_unavailable():
    logits = np.array([[0.0, 1.0], [np.nan, -1.0]], np.float32)
    available = np.array([[True, True], [False, True]])
    given = calibrated_reliability(logits, available, {'rgb': {'x': [-1, 1], 'y': [0.5, 0.9]}}, (RGB, DEPTH))
    np.testing.assert_allclose(given, [[0.7, 1 / (1 + np.exp(-1))], [0, 1 / (1 + np.exp(1))]], rtol=1e-5)


def test_bfloat16_gives_nearly_the_labels_of_float32(checkpoint):
    images = torch.randn(1, 2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    available = torch.tensor([[True, True]])
    exact, rounded = (Engine(checkpoint, 'cpu', precision).run(images, available) for precision in
                      ('float32', 'bfloat16'))
    assert rounded.logits.dtype == torch.float32
    # bfloat16 has 8 bits: 1 % of the logits' range through a dozen layers.
    assert (exact.logits - rounded.logits).abs().max() < 0.1 * exact.logits.abs().max()


def test_what_is_not_available_is_named_with_the_way_out():
    with pytest.raises(BackendUnavailableError, match="use 'cpu' or 'auto'"):
        choose_device('no_such_device')
    with pytest.raises(BackendUnavailableError, match='float16 is slow'):
        choose_precision('float16', torch.device('cpu'))
    with pytest.raises(BackendUnavailableError, match='unknown'):
        choose_precision('int8', torch.device('cpu'))


def test_depth_that_is_displaced_over_many_bundles_has_the_cause_not_registered(checkpoint):
    segmenter = Segmenter(checkpoint, device='cpu')
    generator = SceneGenerator(3, height=96, width=128, auxiliary=DEPTH)
    causes = []
    for index in range(EVERY * FEWEST_BUNDLES):
        scene = generator.render(0.2 * index)
        images = [StampedImage(RGB, index, index, scene.rgb, 'rgb8'),
                  StampedImage(DEPTH, index, index, np.roll(scene.auxiliary, -6, axis=1), '32FC1')]
        causes.append(segmenter.segment(bundle(*images)).reliability[DEPTH].causes)
    assert causes[-1] == ('not_registered',)
    assert not any(causes[:-1])
    segmenter.reset()
    assert segmenter.segment(bundle(*images)).reliability[DEPTH].causes == ()


def test_images_of_several_shapes_are_prepared_for_once_each_and_not_for_ever(checkpoint, monkeypatch):
    made = []

    class Counted(HostPath):
        def __init__(self, engine, preprocessing):
            super().__init__(engine, preprocessing)
            made.append(preprocessing.padded_size)

    monkeypatch.setitem(PATHS, 'cpu', Counted)
    given = Segmenter(replace(checkpoint, preprocessing=PreprocessingConfig(96, 96, keep_aspect=True)), device='cpu')
    shapes = [(48, 48, 3), (48, 96, 3), (96, 48, 3), (48, 160, 3), (160, 48, 3)]
    for shape in shapes[:4] * 2:
        assert given.segment(bundle(rgb_image(shape=shape))).label_map.shape == shape[:2]
    assert len(made) == len(set(made)) == 4
    for shape in (shapes[4], shapes[0]):
        given.segment(bundle(rgb_image(shape=shape)))
    assert len(made) == 6, 'the fifth one has taken the room of the others'
