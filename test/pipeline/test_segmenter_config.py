import pytest

from rsgmamba_ros.pipeline.segmenter_config import SegmenterConfig
from rsgmamba_ros.vocabulary.errors import ConfigError


@pytest.mark.parametrize('value', [0.0, 1.0])
def test_a_quality_lies_in_0_to_1(value):
    assert SegmenterConfig(min_signal_quality=value).min_signal_quality == value
    with pytest.raises(ConfigError, match='it must lie in 0..1'):
        SegmenterConfig(min_signal_quality=3 * value - 1)


@pytest.mark.parametrize('height, width', [(1, 0), (0, 1), (-1, -1), (-1, 0), (48, -64)])
def test_an_output_size_has_both_sides_or_neither(height, width):
    with pytest.raises(ConfigError, match=f'output size is {height}x{width}'):
        SegmenterConfig(output_height=height, output_width=width)
    assert SegmenterConfig(output_height=1, output_width=1).output_width == 1
