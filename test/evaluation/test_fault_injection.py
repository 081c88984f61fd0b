import numpy as np
import pytest

from rsgmamba_ros.data.messages.recorded_images import RecordedImage
from rsgmamba_ros.data.messages.serialised_images import ImageMessage
from rsgmamba_ros.evaluation.fault_injection import FaultInjector, NS_PER_S, parse_faults
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality, StampedImage

RGB, DEPTH, THERMAL = Modality.RGB, Modality.DEPTH, Modality.THERMAL
START_NS = 10**18
PIXELS = {RGB: np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8),
          DEPTH: np.random.default_rng(1).integers(500, 5000, (48, 64), np.uint16),
          THERMAL: np.random.default_rng(2).integers(0, 256, (48, 64), np.uint8)}
ENCODINGS = {RGB: 'rgb8', DEPTH: '16UC1', THERMAL: 'mono8'}


def stream(modality=DEPTH, *, seconds=5.0, rate_hz=10):
    for index in range(round(seconds * rate_hz)):
        stamp_ns = START_NS + index * NS_PER_S // rate_hz
        pixels = np.roll(PIXELS[modality], index, axis=1)
        yield StampedImage(modality, stamp_ns, stamp_ns, pixels, ENCODINGS[modality])


def inject(text, images, *, seed=0):
    return list(FaultInjector(parse_faults(text), seed, START_NS).apply(images))


def times(images):
    return [round((image.received_ns - START_NS) / NS_PER_S, 6) for image in images]


def test_faults_read_as_they_are_written():
    text = 'depth:missing@10-13 rgb:gaussian:3@20-25 depth:delay:0.08@30- depth:clock:-0.2@40-41.5'
    assert ' '.join(map(str, parse_faults(text))) == text


@pytest.mark.parametrize(('text', 'message'), [
    ('depth', 'is not modality:kind'),
    ('depth:missing', 'is not modality:kind'),
    ('depth:missing@5', 'is not modality:kind'),
    ('lidar:missing@1-2', "'lidar' is no modality"),
    ('depth:gaussian:3@1-2', "'gaussian' is no fault of depth; known: .*missing.*axial_noise"),
    ('depth:delay@1-2', 'takes a value, seconds'),
    ('depth:missing:3@1-2', 'takes no value'),
    ('depth:delay:--1@1-2', 'could not convert'),
    ('rgb:drop:1.5@1-2', r'must lie in \[0, 1\]'),
    ('rgb:gaussian:6@1-2', r'must lie in \[1, 5\]'),
    ('rgb:gaussian:2.5@1-2', 'severity is one of'),
    ('rgb:missing@3-3', 'ends before it starts')])
def test_a_fault_that_makes_no_sense_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_faults(text)


def test_missing_images_are_missing_from_start_to_end():
    assert times(inject('depth:missing@1-2', stream())) == [t / 10 for t in range(50) if not 10 <= t < 20]


def test_only_the_named_modality_is_hit():
    assert len(inject('rgb:missing@0-', stream())) == 50


def test_delayed_images_come_later_and_in_order_of_arrival():
    both = sorted([*stream(RGB), *stream(DEPTH)], key=lambda image: image.received_ns)
    images = inject('depth:delay:0.25@1-2', both)
    assert times(images) == sorted(times(images))
    for image in images:
        delayed = image.modality is DEPTH and NS_PER_S <= image.stamp_ns - START_NS < 2 * NS_PER_S
        assert image.received_ns - image.stamp_ns == (250_000_000 if delayed else 0)


def test_a_clock_fault_changes_stamps_only_and_can_be_undone():
    injector = FaultInjector(parse_faults('depth:clock:+0.2@1-'), 0, START_NS)
    images = list(injector.apply(stream()))
    assert times(images) == times(stream())
    assert [image.stamp_ns - image.received_ns for image in images] == [0] * 10 + [200_000_000] * 40
    assert injector.original_stamp_ns(images[-1].stamp_ns) == images[-1].received_ns
    assert injector.original_stamp_ns(7) == 7


def test_stuck_stamps_do_not_advance():
    images = inject('depth:stuck_stamps@1-2', stream())
    assert {image.stamp_ns for image in images[10:20]} == {images[10].stamp_ns}
    assert images[20].stamp_ns > images[19].stamp_ns


def test_a_frozen_image_is_the_first_of_the_fault():
    images, clean = inject('depth:frozen@1-2', stream()), list(stream())
    for index, image in enumerate(images):
        expected = clean[10 if 10 <= index < 20 else index]
        np.testing.assert_array_equal(image.pixels, expected.pixels)
        assert image.stamp_ns == clean[index].stamp_ns


@pytest.mark.parametrize(('modality', 'family'), [
    (RGB, 'gaussian'), (RGB, 'torn'), (RGB, 'temporal'), (DEPTH, 'holes'), (DEPTH, 'axial_noise'), (DEPTH, 'torn'),
    (THERMAL, 'stripes'), (THERMAL, 'misalignment')])
def test_a_corruption_keeps_the_encoding_and_hits_only_its_time(modality, family):
    images, clean = inject(f'{modality}:{family}:3@1-2', stream(modality)), list(stream(modality))
    for index, (image, original) in enumerate(zip(images, clean)):
        assert (image.pixels.dtype, image.pixels.shape) == (original.pixels.dtype, original.pixels.shape)
        assert np.array_equal(image.pixels, original.pixels) is not (10 <= index < 20)


def test_holes_in_depth_are_zero_millimetres():
    image = inject('depth:holes:5@0-', stream(seconds=0.1))[0]
    assert (image.pixels == 0).mean() > 0.05
    kept = image.pixels != 0
    np.testing.assert_array_equal(image.pixels[kept], PIXELS[DEPTH][kept])


@pytest.mark.parametrize('text', ['depth:drop:0.5@0-', 'depth:jitter:0.3@0-', 'depth:axial_noise:4@0-'])
def test_random_faults_repeat_with_their_seed(text):
    def run(seed):
        return [(image.received_ns, image.pixels.tobytes()) for image in inject(text, stream(), seed=seed)]
    assert run(1) == run(1)
    assert run(1) != run(2)


def test_a_fault_does_not_change_the_random_numbers_of_another():
    alone = times(inject('depth:drop:0.5@0-', stream()))
    both = times(inject('depth:jitter:0.001@9-10 depth:drop:0.5@0-', stream()))
    assert alone == both


def test_images_without_pixels_suffer_faults_of_the_stream_only():
    message = ImageMessage(START_NS, '', 'rgb8', False, 1, 1, 3, False, memoryview(b''))
    image = RecordedImage('/rgb', START_NS, message, modality=RGB)
    assert inject('rgb:gaussian:3@0-', [image]) == [image]
    assert inject('rgb:clock:1@0-', [image])[0].stamp_ns == START_NS + NS_PER_S


def test_what_a_fault_did_is_observed():
    injector = FaultInjector(parse_faults('depth:missing@1-2 rgb:missing@1-'), 0, START_NS)
    list(injector.apply(stream()))
    depth, rgb = injector.observations()
    assert (depth['images'], depth['first_s'], depth['last_s'], depth['end_s']) == (10, 1.0, 1.9, 2.0)
    assert (rgb['images'], rgb['first_s'], rgb['end_s']) == (0, None, None)
