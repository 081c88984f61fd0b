"""The device's path against the host's: on the CPU, on no device at all, and on CUDA where there is one."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rsgmamba_ros.network.checkpoint import Checkpoint
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.pipeline import restoration
from rsgmamba_ros.pipeline.execution import network_path
from rsgmamba_ros.pipeline.execution.cuda_graphs import Recording
from rsgmamba_ros.pipeline.execution.engine import Engine
from rsgmamba_ros.pipeline.execution.network_path import DevicePath, HostPath, PATHS
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.pipeline.segmenter_config import SegmenterConfig
from rsgmamba_ros.vocabulary.images import BundleSlot, ImageBundle, Modality, Presence, StampedImage
from rsgmamba_ros.vocabulary.labels import LabelSpace
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig

RGB, DEPTH, _ = Modality
CASES = ((RGB, DEPTH), (RGB,), (DEPTH,))
#: Padded below, and not at all.
SIZES = ((40, 64), (64, 96))
#: What waits for a device, depends on its values, or brings a table of the host to it.
NOT_RECORDABLE = ('_local_scalar_dense', 'item', 'nonzero', 'masked_select', 'unique', 'lift_fresh', 'equal')
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs CUDA')


def checkpoint(size, *, fusion='rsgmb_lcgm', auxiliary=DEPTH) -> Checkpoint:
    torch.manual_seed(0)
    network = create_network('nano', classes=3, dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), decoder_width=8,
                             auxiliary=auxiliary, fusion=fusion).eval()
    return Checkpoint(network, LabelSpace(('a', 'b', 'c')), PreprocessingConfig(*size),
                      {'rgb': {'x': [-8, 8], 'y': [0.2, 1.0]}})


def values(seed=0):
    rng = np.random.default_rng(seed)
    metres = np.linspace(1, 6, 80, dtype=np.float32) + 0.1 * rng.random((48, 80), dtype=np.float32)
    metres[rng.random((48, 80)) < 0.05] = np.nan
    metres[20:35, 20:40] = np.nan
    return {RGB: rng.integers(0, 255, (48, 80, 3), dtype=np.uint8), DEPTH: metres}


def chosen(case, seed=0):
    return {modality: image for modality, image in values(seed).items() if modality in case}


def replayed(function, inputs):
    outputs = function(*inputs)

    def replay():
        for output, new in zip(outputs, function(*inputs)):
            output.copy_(new)
    return Recording(replay, outputs)


def check_same(result, expected, *, labels=1e-3, confidence=1, reliability=1e-5):
    """Equal but for float rounding of the input, which may tip over a pixel between two classes."""
    assert result.label_map.dtype == result.confidence.dtype == np.uint8
    assert result.label_map.shape == result.confidence.shape == expected.label_map.shape
    assert (result.label_map != expected.label_map).mean() <= labels
    difference = np.abs(result.confidence.astype(int) - expected.confidence)
    assert difference.max() <= confidence
    assert result.reliability == pytest.approx(expected.reliability, abs=reliability)
    for modality, value in expected.reliability.items():
        assert (result.reliability[modality] == 0) == (value == 0)


def test_after_the_warm_up_no_availability_case_is_set_up_any_more(monkeypatch):
    device = DevicePath(Engine(checkpoint((40, 64)), 'cpu'), PreprocessingConfig(40, 64), record=replayed)
    device.warm_up()
    monkeypatch.setattr(network_path, 'StaticFunction', None)
    for case in CASES:
        assert set(device.predict(chosen(case)).reliability) == {RGB, DEPTH}


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('record', [None, replayed])
def test_the_devices_path_decides_as_the_hosts_in_every_availability_case(size, record):
    engine, config = Engine(checkpoint(size), 'cpu'), PreprocessingConfig(*size)
    host, device = HostPath(engine, config), DevicePath(engine, config, record=record)
    device.warm_up()
    for seed, case in enumerate((*CASES, *CASES)):
        check_same(device.run(chosen(case, seed)), host.run(chosen(case, seed)))


def test_a_missing_image_leaves_nothing_of_the_bundle_before_it():
    engine, config = Engine(checkpoint(SIZES[0]), 'cpu'), PreprocessingConfig(*SIZES[0])
    path = DevicePath(engine, config, record=replayed)
    path.run({RGB: values()[RGB], DEPTH: np.full((48, 80), np.nan, np.float32)})
    first = path.run(chosen((RGB,)))
    path.run(values(1))
    again = path.run(chosen((RGB,)))
    np.testing.assert_array_equal(again.label_map, first.label_map)
    assert again.reliability == first.reliability and again.reliability[DEPTH] == 0


@pytest.mark.parametrize('record', [None, replayed])
def test_a_prediction_outlives_the_next_one_and_is_decided_as_in_one_run(record):
    path = DevicePath(Engine(checkpoint(SIZES[0]), 'cpu'), PreprocessingConfig(*SIZES[0]), record=record)
    prediction = path.predict(values())
    path.predict(values(1))
    expected = path.run(values())
    result = path.decide(prediction)
    np.testing.assert_array_equal(result.label_map, expected.label_map)
    np.testing.assert_array_equal(result.confidence, expected.confidence)
    assert result.reliability == expected.reliability


@pytest.mark.parametrize('path', [HostPath, DevicePath])
@pytest.mark.parametrize('fusion, case', [('rgb_only', (RGB,)), ('x_only', (DEPTH,)), ('sum', (RGB, DEPTH))])
def test_networks_of_every_kind_are_made_ready(path, fusion, case):
    path = path(Engine(checkpoint(SIZES[0], fusion=fusion), 'cpu'), PreprocessingConfig(*SIZES[0]))
    path.warm_up()
    assert path.run(chosen(case)).label_map.shape == SIZES[0]


class Watch(TorchDispatchMode):
    """Notes operators that a CUDA graph cannot record, and those in which host and device meet."""

    def __init__(self):
        super().__init__()
        self.problems, self.count = [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.count += 1
        name = func.overloadpacket.__name__
        leaves = tree_leaves((args, kwargs, result))
        if name in NOT_RECORDABLE or len({leaf.device.type for leaf in leaves if isinstance(leaf, torch.Tensor)}) > 1:
            self.problems.append(name)
        return result


@pytest.mark.parametrize('case', CASES, ids=str)
@pytest.mark.parametrize('precision', ['float32', 'bfloat16'])
@pytest.mark.parametrize('auxiliary', [DEPTH, Modality.THERMAL])
def test_the_devices_work_neither_waits_for_a_value_nor_meets_the_host(case, precision, auxiliary):
    """On the device `meta`, where no tensor has a value: all but the scan's kernel is what runs on CUDA."""
    case = tuple(auxiliary if modality is DEPTH else modality for modality in case)
    engine = Engine(checkpoint(SIZES[0], auxiliary=auxiliary), 'meta', precision)
    engine.network.set_scan_backend('chunked')
    path = DevicePath(engine, PreprocessingConfig(*SIZES[0]))
    images = {RGB: values()[RGB], auxiliary: values()[DEPTH]}
    arrays = path.arrays({modality: images[modality] for modality in case})
    tensors = [torch.from_numpy(array).to('meta') for array in arrays]
    function = path.function(case)
    with torch.inference_mode(), Watch() as watch:
        labels, logits, classes = function(*tensors)
    assert watch.problems == [] and watch.count > 100
    assert labels.shape == (2, *SIZES[0]) and labels.dtype == torch.uint8
    assert logits.shape == (1, 2) and logits.dtype == torch.float32
    assert classes.shape == (3, 16, 16)


def test_the_watch_sees_what_cannot_be_recorded():
    host = torch.ones(2)
    with Watch() as watch:
        host.tolist()
        host.to('meta')
        host.sum().item()
        torch.tensor([True, False], device='cpu')
    assert watch.problems == ['_to_copy', '_local_scalar_dense', 'lift_fresh']


def bundle() -> ImageBundle:
    images = (StampedImage(RGB, 1, 1, values()[RGB], 'rgb8', 'camera'),
              StampedImage(DEPTH, 1, 1, values()[DEPTH], '32FC1', 'depth'))
    return ImageBundle(RGB, {image.modality: BundleSlot(Presence.PRESENT, image, 0.0, 0.0) for image in images}, 1)


def test_a_segmenter_by_the_devices_path_gives_what_one_by_the_hosts_gives(monkeypatch):
    expected = Segmenter(checkpoint(SIZES[0]), device='cpu').segment(bundle())
    monkeypatch.setitem(PATHS, 'cpu', DevicePath)
    segmenter = Segmenter(checkpoint(SIZES[0]), device='cpu')
    segmenter.warm_up()
    result = segmenter.segment(bundle())
    assert result.label_map.shape == result.confidence.shape == (48, 80)
    assert (result.label_map != expected.label_map).mean() < 1e-3
    for modality in (RGB, DEPTH):
        assert result.reliability[modality].used
        assert result.reliability[modality].learned == pytest.approx(expected.reliability[modality].learned, abs=1e-5)


def unreliable_segmenter(monkeypatch, device):
    """A segmenter that takes every image for unreliable, whatever it shows."""
    monkeypatch.setattr(restoration, 'UNRELIABLE', 1.0)
    segmenter = Segmenter(checkpoint(SIZES[0]), device=device, precision='float32',
                          config=SegmenterConfig(restore=True))
    segmenter.warm_up()
    return segmenter


def test_images_are_repaired_by_the_devices_path_where_that_is_chosen(monkeypatch):
    expected = unreliable_segmenter(monkeypatch, 'cpu').segment(bundle())
    replays = []

    def counted(function, inputs):
        recording = replayed(function, inputs)

        def replay():
            replays.append(function)
            recording.replay()
        return Recording(replay, recording.outputs)

    def refuse(*arguments):
        raise AssertionError('the path by the host was taken')
    monkeypatch.setitem(PATHS, 'cpu', lambda engine, config: DevicePath(engine, config, record=counted))
    segmenter = unreliable_segmenter(monkeypatch, 'cpu')
    monkeypatch.setattr(segmenter.engine, 'run', refuse)
    replays.clear()
    result = segmenter.segment(bundle())
    assert len(replays) == 6
    assert (result.label_map != expected.label_map).mean() < 1e-3
    assert any(cause.startswith('restored_') for one in result.reliability.values() for cause in one.causes)
    for modality in (RGB, DEPTH):
        assert result.reliability[modality].causes == expected.reliability[modality].causes
        assert result.reliability[modality].learned == pytest.approx(expected.reliability[modality].learned, abs=1e-5)


@needs_cuda
def test_images_are_repaired_on_cuda_as_on_the_cpu(monkeypatch):
    expected, result = (unreliable_segmenter(monkeypatch, device).segment(bundle()) for device in ('cpu', 'cuda'))
    assert (result.label_map != expected.label_map).mean() < 0.005
    for modality in (RGB, DEPTH):
        assert result.reliability[modality].learned == pytest.approx(expected.reliability[modality].learned, abs=0.02)


@needs_cuda
@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('precision', ['float32', 'bfloat16'])
def test_a_replay_decides_as_operators_launched_one_by_one(size, precision):
    engine, config = Engine(checkpoint(size), 'cuda', precision), PreprocessingConfig(*size)
    replaying, launching = DevicePath(engine, config), DevicePath(engine, config, record=lambda function, inputs: None)
    replaying.warm_up()
    assert replaying._record.problem is None
    for seed, case in enumerate((*CASES, *CASES)):
        check_same(replaying.run(chosen(case, seed)), launching.run(chosen(case, seed)))


@needs_cuda
@pytest.mark.parametrize('precision, labels, confidence', [('float32', 0.005, 3), ('bfloat16', 0.05, 20)])
def test_cuda_decides_as_the_cpu_within_the_precision(precision, labels, confidence):
    """Random weights have small margins between classes: more pixels tip over than with trained ones."""
    config = PreprocessingConfig(*SIZES[0])
    expected = HostPath(Engine(checkpoint(SIZES[0]), 'cpu'), config)
    device = DevicePath(Engine(checkpoint(SIZES[0]), 'cuda', precision), config)
    for case in CASES:
        check_same(device.run(chosen(case)), expected.run(chosen(case)), labels=labels, confidence=confidence,
                   reliability=0.02)


@needs_cuda
def test_a_segmenter_on_cuda_gives_what_one_on_the_cpu_gives():
    results = []
    for device in ('cpu', 'cuda'):
        segmenter = Segmenter(checkpoint(SIZES[0]), device=device, precision='float32')
        segmenter.warm_up()
        results.append(segmenter.segment(bundle()))
    expected, result = results
    assert result.label_map.shape == (48, 80)
    assert (result.label_map != expected.label_map).mean() < 0.005
    assert all(result.reliability[modality].used for modality in (RGB, DEPTH))
