import numpy as np
import pytest

from rsgmamba_ros.vocabulary.images import BundleSlot, ImageBundle, Modality, Presence, StampedImage

IMAGE = StampedImage(Modality.RGB, 7, 8, np.zeros((2, 3, 3), np.uint8), 'rgb8', 'camera')


def test_a_slot_has_an_image_exactly_if_it_is_present():
    with pytest.raises(ValueError, match='present'):
        BundleSlot(Presence.MISSING, IMAGE)
    with pytest.raises(ValueError, match='present'):
        BundleSlot(Presence.PRESENT)


def test_a_bundle_takes_its_stamp_from_the_leading_image():
    slots = {Modality.RGB: BundleSlot(Presence.PRESENT, IMAGE, 0.0, 0.0), Modality.DEPTH: BundleSlot(Presence.MISSING)}
    bundle = ImageBundle(Modality.RGB, slots, released_ns=9)
    assert (bundle.stamp_ns, bundle.leading_image.size, bundle.image(Modality.DEPTH)) == (7, (2, 3), None)


def test_a_bundle_without_its_leading_image_is_refused():
    with pytest.raises(ValueError, match='depth'):
        ImageBundle(Modality.DEPTH, {Modality.DEPTH: BundleSlot(Presence.MISSING)}, released_ns=0)
