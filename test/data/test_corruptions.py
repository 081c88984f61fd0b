import numpy as np
import pytest

from rsgmamba_ros.data.corruptions import (
    add_noise,
    corrupt,
    drop_pixels,
    FAMILIES,
    families_of,
    IMAGES_AGO,
    NOISE_LEVELS,
)
from rsgmamba_ros.data.corruptions.families import SEVERITIES
from rsgmamba_ros.data.synthetic import SceneGenerator
from rsgmamba_ros.vocabulary.images import Modality

CASES = [(modality, family) for modality in Modality for family in families_of(modality)]


@pytest.fixture(scope='module')
def moments():
    """Images of each modality: the one at hand, then those IMAGES_AGO."""
    def take(modality, time_s):
        auxiliary = Modality.DEPTH if modality is Modality.RGB else modality
        scene = SceneGenerator(20, height=120, width=160, auxiliary=auxiliary).render(time_s)
        return scene.rgb if modality is Modality.RGB else scene.auxiliary
    times = [8.0] + [8.0 - ago / 10 for ago in IMAGES_AGO]
    return {modality: [take(modality, t) for t in times] for modality in Modality}


def apply_family(moments, modality, family, severity, seed=0):
    image, *earlier = moments[modality]
    return corrupt(image, family, severity, rng=np.random.default_rng(seed), previous=earlier[severity - 1])


def damage(clean, corrupted):
    """Mean change of the values, a lost or won echo counting as a whole span."""
    clean, corrupted = (np.asarray(image, np.float64) for image in (clean, corrupted))
    span = np.nanmax(clean) - np.nanmin(clean)
    change = np.where(np.isnan(clean) != np.isnan(corrupted), span, np.abs(clean - corrupted))
    return np.nanmean(np.minimum(change, span))


@pytest.mark.parametrize('modality, family', CASES)
def test_shape_and_dtype_are_kept_and_the_input_is_not_changed(moments, modality, family):
    image = moments[modality][0]
    before = image.copy()
    for severity in SEVERITIES:
        corrupted, _ = apply_family(moments, modality, family, severity)
        assert corrupted.shape == image.shape and corrupted.dtype == image.dtype
        assert not np.shares_memory(corrupted, image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize('modality, family', CASES)
def test_equal_seeds_give_equal_images(moments, modality, family):
    one, other = (apply_family(moments, modality, family, 3, seed=5)[0] for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize('modality, family', [case for case in CASES if case[1] != 'missing'])
def test_damage_grows_with_severity(moments, modality, family):
    clean = moments[modality][0]
    damages = [np.mean([damage(clean, apply_family(moments, modality, family, severity, seed)[0]) for seed in range(4)])
               for severity in SEVERITIES]
    assert damages[0] > 0
    # Fog changes its texture with the severity, and a moving scene may come back to where it was.
    steps = 1 if family in ('fog', 'temporal', 'frozen', 'torn') else 0
    assert damages[2] > damages[0] * 0.9 and damages[4] > damages[2] * (0.6 if steps else 1.0)


@pytest.mark.parametrize('modality, family', CASES)
def test_exactly_the_local_families_say_which_pixels_are_hit(moments, modality, family):
    image = moments[modality][0]
    corrupted, mask = apply_family(moments, modality, family, 3)
    if not FAMILIES[family].local:
        assert mask is None
        return
    assert mask.shape == image.shape[:2] and mask.dtype == bool and 0 < mask.mean() < 1
    np.testing.assert_array_equal(corrupted[~mask], image[~mask])


def test_masked_pixels_of_holes_and_cutoff_have_no_echo(moments):
    for family in ('holes', 'range_cutoff'):
        corrupted, mask = apply_family(moments, Modality.DEPTH, family, 4)
        assert np.isnan(corrupted[mask]).all()


@pytest.mark.parametrize('severity, share', list(zip(SEVERITIES, (0.05, 0.1, 0.2, 0.35, 0.5))))
def test_holes_cover_their_share(moments, severity, share):
    _, mask = apply_family(moments, Modality.DEPTH, 'holes', severity)
    assert mask.mean() == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize('family, shares', [('dirt', (0.04, 0.1, 0.18, 0.3, 0.45)),
                                            ('covered', (0.06, 0.13, 0.22, 0.35, 0.5))])
def test_dirt_and_a_cover_hit_their_share_of_the_image(moments, family, shares):
    for severity, share in zip(SEVERITIES, shares):
        _, mask = apply_family(moments, Modality.RGB, family, severity)
        assert mask.mean() == pytest.approx(share, abs=0.03)


def test_drops_show_their_surroundings_upside_down():
    ramp = np.repeat(np.tile(np.arange(160, dtype=np.uint8), (120, 1))[..., None], 3, axis=2)
    corrupted, mask = corrupt(ramp, 'drops', 1, rng=np.random.default_rng(1))
    slopes = np.diff(corrupted[..., 0].astype(int), axis=1)[mask[:, 1:] & mask[:, :-1]]
    assert np.median(slopes) == -3


def test_a_cover_reaches_an_edge_of_the_image(moments):
    for seed in range(5):
        _, mask = apply_family(moments, Modality.RGB, 'covered', 2, seed)
        assert mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()


def test_lengths_scale_with_the_image():
    for width, shift in ((640, 8), (320, 4)):
        image = np.tile(np.arange(1, width + 1, dtype=np.float32), (8, 1))
        corrupted, _ = corrupt(image, 'lateral_shift', 3, rng=np.random.default_rng(0))
        assert np.isnan(corrupted[0]).sum() == shift


def test_a_third_of_each_modalitys_families_is_held_out_with_a_noise_and_a_temporal_one():
    noises = {Modality.RGB: 'impulse', Modality.DEPTH: 'quantisation', Modality.THERMAL: 'stripes'}
    for modality in Modality:
        held_out, seen = families_of(modality, held_out=True), families_of(modality, held_out=False)
        assert set(held_out).isdisjoint(seen) and set(held_out) | set(seen) == set(families_of(modality))
        assert 0.25 <= len(held_out) / (len(held_out) + len(seen)) <= 0.4
        assert noises[modality] in held_out
        assert any(FAMILIES[name].needs_previous for name in held_out)


@pytest.mark.parametrize('modality, family', CASES)
@pytest.mark.parametrize('shape', [(0, 0), (1, 1), (3, 5)])
def test_tiny_and_empty_images_are_safe(modality, family, shape):
    image = np.zeros((*shape, 3), np.uint8) if modality is Modality.RGB else np.full(shape, np.nan, np.float32)
    for severity in (1, 5):
        corrupted, _ = corrupt(image, family, severity, rng=np.random.default_rng(0), previous=image)
        assert corrupted.shape == image.shape


@pytest.mark.parametrize('modality, family', [case for case in CASES if case[0] is not Modality.RGB])
def test_no_echo_stays_no_echo_but_for_what_moves_the_image(moments, modality, family):
    if family in ('lateral_shift', 'misalignment', 'temporal', 'frozen', 'torn'):
        return
    image = moments[modality][0].copy()
    image[20:40, 30:60] = np.nan
    corrupted, _ = corrupt(image, family, 5, rng=np.random.default_rng(0))
    assert np.isnan(corrupted[20:40, 30:60]).all()


def test_wrong_arguments_are_named():
    rgb, depth = np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.float32)
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match='unknown'):
        corrupt(rgb, 'snow', 1, rng=rng)
    with pytest.raises(ValueError, match='severity'):
        corrupt(rgb, 'gaussian', 6, rng=rng)
    with pytest.raises(ValueError, match='gaussian'):
        corrupt(depth, 'gaussian', 1, rng=rng)
    with pytest.raises(ValueError, match='float32'):
        corrupt(depth.astype(np.uint16), 'axial_noise', 1, rng=rng)
    with pytest.raises(ValueError, match='previous'):
        corrupt(depth, 'torn', 1, rng=rng)


@pytest.mark.parametrize('modality', Modality)
def test_protocol_noise_grows_with_its_level(moments, modality):
    image = moments[modality][0]
    damages = [damage(image, add_noise(image, level, rng=np.random.default_rng(0))) for level in NOISE_LEVELS]
    assert 0 < damages[0] < damages[1] < damages[2]


@pytest.mark.parametrize('modality', Modality)
@pytest.mark.parametrize('share', [0.25, 0.5, 0.75])
def test_random_missing_drops_its_share_in_all_channels(moments, modality, share):
    image = moments[modality][0]
    corrupted, mask = drop_pixels(image, share, rng=np.random.default_rng(0))
    assert mask.mean() == pytest.approx(share, abs=0.02)
    assert (corrupted[mask] == 0).all() if modality is Modality.RGB else np.isnan(corrupted[mask]).all()
    np.testing.assert_array_equal(corrupted[~mask], image[~mask])
