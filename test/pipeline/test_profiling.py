from dataclasses import replace

import numpy as np
import pytest
import torch

from rsgmamba_ros.data.signature_failures import inflict_signatures
from rsgmamba_ros.data.synthetic import SceneGenerator
from rsgmamba_ros.network.checkpoint import Checkpoint
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.pipeline.profiling import evenly_spread, implausible, ProfileMaker
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.pipeline.segmenter_config import SegmenterConfig
from rsgmamba_ros.vocabulary.errors import ProfileError
from rsgmamba_ros.vocabulary.images import BundleSlot, ImageBundle, Modality, Presence, StampedImage
from rsgmamba_ros.vocabulary.labels import LabelSpace
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig
from rsgmamba_ros.vocabulary.sensor_profile import save_profile
from test.pipeline.profiled_heads import FIGURES, with_profiled_head

RGB, DEPTH, THERMAL = Modality
HEIGHT, WIDTH = 96, 128


def created(*, seed=0):
    torch.manual_seed(seed)
    network = create_network('nano', classes=3, dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), decoder_width=8).eval()
    return Checkpoint(network, LabelSpace(('a', 'b', 'c')), PreprocessingConfig(HEIGHT, WIDTH), {})


@pytest.fixture(scope='module')
def checkpoint():
    return with_profiled_head(created())


@pytest.fixture
def segmenter(checkpoint):
    return Segmenter(checkpoint, device='cpu')


@pytest.fixture(scope='module')
def scenes():
    generator = SceneGenerator(3, height=HEIGHT, width=WIDTH, auxiliary=DEPTH)
    return [generator.render(0.4 * index) for index in range(12)]


def bundle(scene, index, *, rgb=None, depth=None):
    pixels = {RGB: scene.rgb if rgb is None else rgb, DEPTH: scene.auxiliary if depth is None else depth}
    slots = {modality: BundleSlot(Presence.PRESENT, StampedImage(
        modality, index, index, image, 'rgb8' if modality is RGB else '32FC1'), 0.0, 0.0)
        for modality, image in pixels.items()}
    return ImageBundle(RGB, slots, index)


def made(segmenter, bundles):
    maker = ProfileMaker(segmenter, inflict_signatures)
    for item in bundles:
        maker.add(item)
    return maker.make('a test')


def test_a_profile_holds_mean_and_deviation_of_the_figures_of_its_images(segmenter, scenes):
    profile = made(segmenter, [bundle(scene, index) for index, scene in enumerate(scenes)])
    assert (profile.auxiliary, profile.images, profile.source) == (DEPTH, len(scenes), 'a test')
    figures = np.stack([segmenter.figures({RGB: scene.rgb, DEPTH: scene.auxiliary}) for scene in scenes])
    assert figures.shape == (len(scenes), FIGURES)
    np.testing.assert_allclose(profile.mean, figures.mean(0), rtol=1e-5)
    np.testing.assert_allclose(profile.deviation, figures.std(0, ddof=1), rtol=1e-4)


def test_a_profile_of_too_few_images_is_refused(segmenter, scenes):
    with pytest.raises(ProfileError, match='4 image pairs are too few.*better 20'):
        made(segmenter, [bundle(scene, index) for index, scene in enumerate(scenes[:4])])


NOISE = np.random.default_rng(0)


@pytest.mark.parametrize('change, reason', [
    ({'rgb': lambda scene: NOISE.integers(0, 4, scene.rgb.shape, np.uint8)}, 'rgb is covered or dark'),
    ({'rgb': lambda scene: NOISE.integers(40, 48, scene.rgb.shape, np.uint8)}, 'rgb is covered: it shows no structure'),
    ({'rgb': lambda scene: np.maximum(scene.rgb, 252)}, 'rgb is saturated'),
    ({'depth': lambda scene: np.where(NOISE.random(scene.auxiliary.shape) < 0.97, np.nan, scene.auxiliary)},
     'depth is covered or dead: it measures almost nothing'),
    ({'depth': lambda scene: np.full_like(scene.auxiliary, np.nan)}, 'no valid pixel'),
    ({'depth': lambda scene: np.full_like(scene.auxiliary, 1.5)}, 'it shows one distance'),
])
def test_references_that_no_healthy_sensor_gives_are_refused_with_the_reason(segmenter, scenes, change, reason):
    changed = [bundle(scene, index, **{key: function(scene).astype(np.uint8 if key == 'rgb' else np.float32)
                                       for key, function in change.items()}) for index, scene in enumerate(scenes)]
    with pytest.raises(ProfileError, match=rf'no images of healthy sensors: .*{reason} \(12 of 12 images\)'):
        made(segmenter, changed)


@pytest.mark.parametrize('modality', [RGB, DEPTH])
def test_a_frozen_sensor_is_refused(segmenter, scenes, modality):
    still = {'rgb': scenes[0].rgb} if modality is RGB else {'depth': scenes[0].auxiliary}
    with pytest.raises(ProfileError, match=f'{modality} is frozen: the same image again .11 of 12'):
        made(segmenter, [bundle(scene, index, **still) for index, scene in enumerate(scenes)])


def test_depth_that_is_not_registered_is_refused(segmenter, scenes):
    with pytest.raises(ProfileError, match='not registered to the colour.*align_depth'):
        made(segmenter, [bundle(scene, index, depth=np.roll(scene.auxiliary, -6, axis=1))
                         for index, scene in enumerate(scenes)])


def test_a_few_implausible_images_are_left_out(segmenter, scenes):
    bundles = [bundle(scene, index) for index, scene in enumerate(scenes)]
    covered = bundle(scenes[3], 3, rgb=np.zeros_like(scenes[3].rgb))
    assert made(segmenter, [*bundles[:3], covered, *bundles[4:]]).images == len(scenes) - 1


def test_bundles_without_both_images_are_counted_as_such(segmenter, scenes):
    alone = bundle(scenes[0], 0)
    alone = replace(alone, slots={**alone.slots, DEPTH: BundleSlot(Presence.MISSING)})
    maker = ProfileMaker(segmenter, inflict_signatures)
    maker.add(alone)
    assert (maker.offered, maker.images, dict(maker.faults)) == (1, 0, {'no depth image came': 1})


def test_a_thermal_image_of_one_value_or_clipped_is_implausible():
    usual = NOISE.normal(20, 3, (60, 80)).astype(np.float32)
    assert implausible({THERMAL: usual}) == []
    assert 'one value' in implausible({THERMAL: np.full_like(usual, 7)})[0]
    assert 'saturated' in implausible({THERMAL: np.minimum(usual, np.percentile(usual, 20))})[0]


def test_results_are_based_on_the_profile_and_say_so(segmenter, scenes, tmp_path, checkpoint):
    bundles = [bundle(scene, index) for index, scene in enumerate(scenes)]
    profile = made(segmenter, bundles)
    assert segmenter.segment(bundles[0]).sensor_profile == ''
    path = tmp_path / 'front.yaml'
    save_profile(path, profile)
    profiled = Segmenter(checkpoint, device='cpu', config=SegmenterConfig(sensor_profile=str(path)))
    far = bundle(scenes[0], 0, depth=scenes[0].auxiliary * 2)
    results = [profiled.segment(item) for item in (bundles[0], far)]
    assert {result.sensor_profile for result in results} == {str(path)}
    # Twice the distance is another sensor than that of the profile; without a profile nobody can tell.
    assert results[1].reliability[DEPTH].learned < results[0].reliability[DEPTH].learned - 0.1
    profiled.set_profile(None)
    without = profiled.segment(far)
    assert without.sensor_profile == ''
    assert without.reliability[DEPTH].learned == segmenter.segment(far).reliability[DEPTH].learned


def test_a_profile_of_other_cameras_is_refused(segmenter, scenes):
    profile = made(segmenter, [bundle(scene, index) for index, scene in enumerate(scenes)])
    for other in (replace(profile, auxiliary=THERMAL),
                  replace(profile, mean=profile.mean[:2], deviation=profile.deviation[:2], signatures={})):
        with pytest.raises(ProfileError, match='expected depth and 4'):
            segmenter.set_profile(other)
    assert segmenter.sensor_profile == ''


def test_a_profile_tells_what_failures_change(segmenter, scenes):
    profile = made(segmenter, [bundle(scene, index) for index, scene in enumerate(scenes)])
    assert {'rgb/darkness', 'depth/misalignment', 'depth/scale_error+'} <= set(profile.signatures)
    darker = profile.signatures['rgb/darkness']
    assert darker.images >= 2 and darker.change[0] < -0.1  # of the stand-in head: RGB's mean
    assert not darker.change[2:].any()  # and nothing of depth


def test_a_network_that_takes_no_profile_says_so(scenes):
    plain = Segmenter(created(), device='cpu')
    assert plain.takes_profile is False
    with pytest.raises(ProfileError, match='takes no sensor profile'):
        made(plain, [bundle(scenes[0], 0)])


def test_evenly_spread_items_reach_from_the_first_to_the_last():
    assert evenly_spread(100, 5) == [0, 25, 50, 74, 99]
    assert evenly_spread(3, 20) == [0, 1, 2]
    assert evenly_spread(0, 20) == []
