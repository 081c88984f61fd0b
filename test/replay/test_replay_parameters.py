"""The node's parameter file decides a replay as it decides the node: shown by what the replay does with a bag."""
from argparse import ArgumentParser
from contextlib import ExitStack
from functools import partial
import json
import math
from unittest.mock import patch

import numpy as np
import pytest

from rsgmamba_ros.cli.main import main
from rsgmamba_ros.cli.replay import _options, add_arguments
from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.bags.writer import BagWriter
from rsgmamba_ros.data.synthetic import SYNTHETIC_LABELS
from rsgmamba_ros.pipeline.node_settings import PARAMETERS
from rsgmamba_ros.pipeline.synchronisation.synchroniser import Synchroniser
from rsgmamba_ros.replay.config import load_settings
from rsgmamba_ros.vocabulary.images import Modality

START_NS, PERIOD_NS, COUNT = 1_700_000_000_000_000_000, 100_000_000, 15


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    """Depth is stamped 40 ms after RGB and arrives with it."""
    path = tmp_path_factory.mktemp('apart') / 'bag'
    with BagWriter(path) as writer:
        for index in range(COUNT):
            stamp_ns = START_NS + index * PERIOD_NS
            received_ns = stamp_ns + 45_000_000
            writer.write_image('/rgb', np.zeros((4, 4, 3), np.uint8), encoding='rgb8', stamp_ns=stamp_ns,
                               received_ns=received_ns)
            writer.write_image('/depth', np.ones((4, 4), np.uint16), encoding='16UC1', stamp_ns=stamp_ns + 40_000_000,
                               received_ns=received_ns + 1_000_000)
    return path


@pytest.fixture
def replay(bag, tmp_path):
    """Replay the bag with lines of a parameter file; the exit status and the bundles."""
    def run(*lines, status=0):
        file, out = tmp_path / 'params.yaml', tmp_path / 'out'
        file.write_text('\n      '.join(['/**:\n    ros__parameters:', *(lines or ['{}'])]))
        command = ['replay', str(bag), '--sync-only', '--out', str(out), '--overwrite', '--params-file', str(file)]
        assert main(command) == status
        return [json.loads(line) for line in (out / 'bundles.jsonl').read_text().splitlines()] if not status else []
    return run


def paired(bundles):
    return sum(bundle['modalities']['depth']['presence'] == 'present' for bundle in bundles)


def test_images_further_apart_than_max_skew_are_not_paired(replay):
    assert paired(replay()) == COUNT
    assert paired(replay('max_skew_s: 0.03')) == 0


def test_the_known_clock_offset_is_subtracted_before_pairing(replay):
    bundles = replay('max_skew_s: 0.03', 'auxiliary_clock_offset_s: 0.04')
    assert paired(bundles) == COUNT
    assert all(abs(bundle['modalities']['depth']['skew_s']) < 1e-6 for bundle in bundles)


def test_an_estimated_clock_offset_pairs_what_max_delay_takes_for_a_fault(replay):
    settings = ['max_skew_s: 0.01', 'max_delay_s: 0.02']
    assert paired(replay(*settings)) == 0
    assert paired(replay(*settings, 'estimate_clock_offset: true')) >= 5


def test_a_misspelt_parameter_is_one_line_that_names_the_nearest(replay, capsys):
    replay('max_skews: 0.03', status=1)
    error, = (line for line in capsys.readouterr().err.splitlines() if line.startswith('error: '))
    assert "unknown parameter 'max_skews'; did you mean 'max_skew_s'?" in error


class FakeSegmenter:
    labels, auxiliary = SYNTHETIC_LABELS, Modality.DEPTH

    def warm_up(self):
        pass


def decided(bag, out, lines):
    """Everything that a session hands to its parts, given lines of a parameter file."""
    file = out / 'params.yaml'
    file.write_text('\n  '.join(['/**:\n ros__parameters:', *(lines or ['{}'])]))
    with ExitStack() as stack:
        def spy(name, **options):
            return stack.enter_context(patch(name, **options))
        segmenter = spy('rsgmamba_ros.pipeline.segmenter.Segmenter', return_value=FakeSegmenter())
        parts = [segmenter, spy('rsgmamba_ros.ops.cpu.threads.use_threads'),
                 spy('rsgmamba_ros.cli.replay.checkpoint_path', return_value=out),
                 spy('rsgmamba_ros.replay.session.Synchroniser', wraps=Synchroniser),
                 spy('rsgmamba_ros.cli.replay.BagReader', wraps=BagReader),
                 spy('rsgmamba_ros.replay.observers.result_bag.ResultBag')]
        spy('rsgmamba_ros.cli.replay.warnings', return_value=[])
        spy('rsgmamba_ros.cli.replay.is_read_in_part', return_value=False)
        spy('rsgmamba_ros.replay.session.ReplaySession.run', return_value={
            'miou': None, 'bundles': 0, 'missed': 0, 'expected': 0, 'complete': True})
        assert main(['replay', str(bag), '--checkpoint', 'any', '--out', str(out / 'out'), '--overwrite',
                     '--params-file', str(file)]) == 0
        return [part.call_args for part in parts]


def another(parameter):
    """A value that the parameter may have and that is not its default."""
    default = parameter.default
    if isinstance(default, bool):
        return not default
    if isinstance(default, str):
        return next((choice for choice in parameter.choices if choice != default), 'cpu')
    if math.isnan(default):
        return 2.0
    return default - 16 if default == 255 else default + (0.01 if isinstance(default, float) else 16)


@pytest.fixture(scope='module')
def decide(bag, tmp_path_factory):
    return partial(decided, bag, tmp_path_factory.mktemp('decided'))


@pytest.fixture(scope='module')
def decided_by_default(decide):
    return decide([])


@pytest.mark.parametrize('name', PARAMETERS)
def test_every_parameter_reaches_the_replay_or_says_why_only_the_node_uses_it(decide, decided_by_default, name):
    lines = [f'{name}: {json.dumps(another(PARAMETERS[name]))}']
    if name.startswith('output_'):  # a size has two sides
        lines += [f'{other}: 16' for other in ('output_height', 'output_width') if other != name]
    assert (decide(lines) != decided_by_default) == (not PARAMETERS[name].node_only)


def test_an_option_of_the_command_line_replaces_the_value_of_the_file(bag, tmp_path):
    (tmp_path / 'params.yaml').write_text('/**:\n  ros__parameters: {precision: float16, threads: 2, device: cuda}\n')
    arguments = ArgumentParser()
    add_arguments(arguments)
    given = arguments.parse_args([
        str(bag), '--sync-only', '--out', 'out', '--params-file', str(tmp_path / 'params.yaml'), '--device', 'cpu'])
    with BagReader(bag) as reader:
        settings = _options(given, reader, load_settings(given.params_file)).settings
    assert (settings.device, settings.precision, settings.threads) == ('cpu', 'float16', 2)
