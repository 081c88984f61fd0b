import json

import cv2
import numpy as np
import pytest

from rsgmamba_ros.cli.main import main
from rsgmamba_ros.data.bags.reader import BagReader


def test_a_synthetic_bag_is_written_and_described(tmp_path, capsys):
    assert main(['bag', 'synthesize', str(tmp_path / 'bag'), '--seconds', '0.5', '--rate-hz', '10', '--size', '64x48',
                 '--storage', 'sqlite3', '--auxiliary', 'thermal']) == 0
    assert capsys.readouterr().out.endswith('5 image pairs, 0.5 s\n')
    with BagReader(tmp_path / 'bag') as bag:
        assert [(topic.name, topic.count) for topic in bag.image_topics] == [
            ('/labels/image', 5), ('/rgb/image', 5), ('/thermal/image', 5)]


def test_images_are_repeated_and_limited(tmp_path, capsys):
    for kind, pixels in (('color', np.zeros((8, 8, 3), np.uint8)), ('depth', np.ones((8, 8), np.uint16))):
        for index in range(3):
            cv2.imwrite(str(tmp_path / f'frame-{index}.{kind}.png'), pixels)
    assert main(['bag', 'from-images', str(tmp_path), str(tmp_path / 'bag'), '--limit', '2', '--repeat', '3']) == 0
    assert '6 image pairs' in capsys.readouterr().out


@pytest.mark.parametrize(('option', 'value', 'message'), [
    ('--size', 'large', 'WIDTHxHEIGHT'), ('--rate-hz', '0', 'positive')])
def test_a_bad_option_is_one_line(tmp_path, capsys, option, value, message):
    assert main(['bag', 'synthesize', str(tmp_path / 'bag'), option, value]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'bag').exists()


@pytest.mark.parametrize('compressed', [False, True])
def test_topics_and_transports_of_a_bag_are_printed_as_json(tmp_path, capsys, compressed):
    bag = str(tmp_path / 'bag')
    main(['bag', 'synthesize', bag, '--seconds', '0.2', '--rate-hz', '10', '--size', '16x16',
          *(['--compressed'] if compressed else [])])
    capsys.readouterr()
    assert main(['bag', 'topics', bag]) == 0
    transport = 'compressed' if compressed else 'raw'
    suffixes = ('/compressed', '/compressedDepth') if compressed else ('', '')
    assert json.loads(capsys.readouterr().out) == {
        'rgb': {'topic': f'/rgb/image{suffixes[0]}', 'transport': transport},
        'depth': {'topic': f'/depth/image{suffixes[1]}', 'transport': transport}}
    assert main(['bag', 'topics', bag, '--aux-topic', 'none']) == 0
    assert list(json.loads(capsys.readouterr().out)) == ['rgb']
    assert main(['bag', 'topics', bag, '--rgb-topic', '/typo']) == 1
    assert '/typo' in capsys.readouterr().err
