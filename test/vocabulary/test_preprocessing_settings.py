"""The settings of preprocessing: sizes that keep the aspect ratio."""
import pytest

from rsgmamba_ros.vocabulary.preprocessing import DepthScaling, PreprocessingConfig

KEEPS = PreprocessingConfig(height=240, width=320, keep_aspect=True)


@pytest.mark.parametrize(('image', 'size'), [
    ((480, 640), (240, 320)), ((240, 320), (240, 320)), ((465, 640), (240, 320)), ((360, 640), (192, 320)),
    ((1080, 1920), (192, 320)), ((640, 480), (256, 192)), ((32, 640), (32, 320))])
def test_an_image_of_another_aspect_ratio_keeps_it(image, size):
    fitted = KEEPS.for_image(*image)
    assert (fitted.height, fitted.width) == size
    assert max(fitted.padded_size) <= 320


def test_without_the_setting_every_image_gets_the_network_s_size():
    assert PreprocessingConfig().for_image(360, 640) == PreprocessingConfig()


def test_the_log_range_of_depth_is_that_of_its_limits():
    assert DepthScaling(0.2, 12.0).log_range == pytest.approx(1.0236, abs=1e-4)
