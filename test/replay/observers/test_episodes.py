"""Each injected fault must be found again, its start and end within two image periods."""
from dataclasses import dataclass

import numpy as np
import pytest

from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.bags.writer import BagWriter
from rsgmamba_ros.evaluation.fault_injection import FaultInjector, parse_faults
from rsgmamba_ros.pipeline.synchronisation.synchroniser import Synchroniser, SynchroniserConfig
from rsgmamba_ros.replay.observers.episodes import find_episodes
from rsgmamba_ros.replay.observers.health import ReplayHealth
from rsgmamba_ros.replay.observers.timeline import Timeline
from rsgmamba_ros.replay.offline import OfflineReplay
from rsgmamba_ros.replay.report.summary import summarise
from rsgmamba_ros.vocabulary.images import Modality

RATE_HZ, SECONDS = 30, 12
TWO_PERIODS_S = 2 / RATE_HZ + 1e-6
START_NS = 1_700_000_000_000_000_000


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    """RGB and depth of 4x4 pixels: the synchroniser does not look at them."""
    path = tmp_path_factory.mktemp('episodes') / 'bag'
    with BagWriter(path) as writer:
        for index in range(RATE_HZ * SECONDS):
            stamp_ns = START_NS + index * 1_000_000_000 // RATE_HZ
            writer.write_image('/rgb/image', np.zeros((4, 4, 3), np.uint8), encoding='rgb8', stamp_ns=stamp_ns,
                               received_ns=stamp_ns + 5_000_000)
            writer.write_image('/depth/image', np.ones((4, 4), np.uint16), encoding='16UC1',
                               stamp_ns=stamp_ns + 2_000_000, received_ns=stamp_ns + 10_000_000)
    return path


def write_slow(path, rate_hz):
    """Depth at a rate of its own beside RGB."""
    stamps = [(START_NS + round(index * 1e9 / rate), topic) for topic, rate in (('/rgb', RATE_HZ), ('/depth', rate_hz))
              for index in range(int(rate * SECONDS))]
    with BagWriter(path) as writer:
        for stamp_ns, topic in sorted(stamps):
            pixels, encoding = (np.zeros((4, 4, 3), np.uint8), 'rgb8') if topic == '/rgb' else (
                np.ones((4, 4), np.uint16), '16UC1')
            writer.write_image(f'{topic}/image', pixels, encoding=encoding, stamp_ns=stamp_ns + 3_000_000,
                               received_ns=stamp_ns + 9_000_000)
    return path


@dataclass
class Outcome:
    episodes: list
    faults: list
    timeline: Timeline
    health: dict
    summary: dict

    @property
    def missed(self):
        return self.summary['missed']

    def spans(self, modality, kind):
        return [(item.start_s, item.end_s) for item in self.episodes if (item.modality, item.kind) == (modality, kind)]


def replay(path, text):
    """Without report and files, which take longer than the replay."""
    with BagReader(path) as bag:
        timeline = Timeline((Modality.RGB, Modality.DEPTH), bag.start_ns)
        injector = FaultInjector(parse_faults(text), 0, bag.start_ns)
        synchroniser = Synchroniser(SynchroniserConfig())
        health = ReplayHealth(timeline.modalities, synchroniser.counters, start_ns=bag.start_ns, has_results=False)
        OfflineReplay(bag, {'/rgb/image': Modality.RGB, '/depth/image': Modality.DEPTH}, synchroniser=synchroniser,
                      injector=injector, observers=[timeline, health]).run()
        found = find_episodes(timeline, end_s=(bag.end_ns - bag.start_ns) / 1e9)
    summary = summarise(timeline, found, leader=Modality.RGB)
    return Outcome(found, injector.observations(), timeline, health.as_json(), summary)


def near(found, expected):
    return len(found) == len(expected) and all(
        (a is None and b is None) or (a is not None and b is not None and abs(a - b) <= TWO_PERIODS_S)
        for pair, wanted in zip(found, expected) for a, b in zip(pair, wanted))


def test_a_clean_bag_has_no_episodes(bag):
    outcome = replay(bag, '')
    assert outcome.episodes == []
    assert (len(outcome.timeline.bundles), outcome.missed) == (RATE_HZ * SECONDS, 0)
    assert outcome.health == {'level': 'OK', 'findings': []}


@pytest.mark.parametrize(('fault', 'kind', 'expected'), [
    ('depth:missing@3-5', 'silent', [(3, 5)]),
    ('depth:missing@3-5 depth:missing@8-8.5', 'silent', [(3, 5), (8, 8.5)]),
    ('rgb:missing@3-5', 'silent', [(3, 5)]),
    ('depth:missing@9-', 'silent', [(9, None)]),
    ('depth:delay:0.08@3-5', 'delivery', [(3, 5)]),
    ('rgb:delay:0.08@3-5', 'delivery', [(3, 5)]),
    ('depth:delay:0.4@3-5', 'delivery', [(3, 5)]),
    ('depth:clock:+0.2@3-5', 'delivery', [(3, 5)]),
    ('depth:clock:-0.2@3-5', 'delivery', [(3, 5)]),
    ('depth:clock:+0.2@9-', 'delivery', [(9, None)]),
    ('depth:delay:0.08@3-6 depth:delay:0.08@5-6', 'delivery', [(3, 5), (5, 6)])])
def test_a_fault_of_the_stream_is_found_where_it_was_put(bag, fault, kind, expected):
    outcome = replay(bag, fault)
    assert near(outcome.spans(fault.partition(':')[0], kind), expected), outcome.episodes
    for observed in outcome.faults:
        assert abs(observed['first_s'] - observed['start_s']) <= TWO_PERIODS_S
        end_s = SECONDS if observed['end_s'] is None else observed['end_s']
        assert abs(observed['last_s'] - end_s) <= TWO_PERIODS_S


def test_images_of_a_wrong_clock_are_stale_in_the_bundles(bag):
    (start_s, end_s), = replay(bag, 'depth:clock:+0.2@3-5').spans('depth', 'stale')
    assert abs(start_s - 3) <= TWO_PERIODS_S
    assert 5 <= end_s <= 5.2 + TWO_PERIODS_S  # so long the stamps stay behind those that were ahead


def test_the_other_modality_is_not_blamed(bag):
    outcome = replay(bag, 'depth:missing@3-5 depth:clock:+0.2@8-')
    assert not [episode for episode in outcome.episodes if episode.modality == 'rgb']


def test_single_lost_images_are_no_dropout(bag):
    outcome = replay(bag, 'depth:drop:0.1@0-')
    assert len(outcome.timeline.arrivals['depth']) < RATE_HZ * SECONDS * 0.95
    assert len(outcome.spans('depth', 'silent')) <= 2  # three in a row by chance: 0.1 % of the places


def test_a_stream_that_never_comes_is_silent_all_along(bag):
    outcome = replay(bag, 'depth:missing@0-')
    assert outcome.spans('depth', 'silent') == [(0, None)]
    assert outcome.missed == 0


@pytest.mark.parametrize('rate_hz', [2, 5, 6, 8.7, 15])
def test_a_slower_stream_is_available_at_its_own_rate(tmp_path, rate_hz):
    path = write_slow(tmp_path / 'bag', rate_hz)
    outcome = replay(path, '')
    assert outcome.episodes == []
    assert outcome.health == {'level': 'OK', 'findings': []}
    depth = outcome.summary['modalities']['depth']
    assert depth['availability'] == 1.0
    assert depth['between'] == depth['presence']['missing'] + depth['presence']['late']


def test_a_dropout_of_a_slower_stream_is_an_episode(tmp_path):
    outcome = replay(write_slow(tmp_path / 'bag', 6), 'depth:missing@4-6')
    (late_s, missing_s), = outcome.spans(Modality.DEPTH, 'late')
    assert outcome.spans(Modality.DEPTH, 'missing') == [(missing_s, pytest.approx(6.0, abs=0.1))]
    assert outcome.spans(Modality.DEPTH, 'silent') == [(pytest.approx(4.0, abs=0.1), pytest.approx(6.0, abs=0.1))]
    assert late_s == pytest.approx(4.0, abs=0.1)
    assert outcome.summary['modalities']['depth']['availability'] < 0.95


def test_a_stream_that_loses_half_of_its_images_is_not_slow(bag):
    depth = replay(bag, 'depth:drop:0.5@0-').summary['modalities']['depth']
    assert depth['between'] == 0 and depth['availability'] < 0.9
