import json

import pytest

from rsgmamba_ros.data.bags.writer import BagWriter
from rsgmamba_ros.data.synthetic import SceneGenerator, SYNTHETIC_LABELS
from rsgmamba_ros.demo.phases import demo_phases, fault_script, phase_at
from rsgmamba_ros.demo.picture import draw
from rsgmamba_ros.demo.recording import read_recording
from rsgmamba_ros.demo.summary import as_json, summarise, table
from rsgmamba_ros.evaluation.fault_injection import parse_faults
from rsgmamba_ros.vocabulary.errors import BagError
from rsgmamba_ros.vocabulary.images import Modality

START_NS, PERIOD_NS, PHASE_S = 1_700_000_000_000_000_000, 200_000_000, 1.0
LATENCY_NS = 30_000_000
PHASES = demo_phases(Modality.DEPTH, PHASE_S)
NAMES = [phase.name for phase in PHASES]


def write_reliability(bag, stamp_ns, received_ns, values):
    types = bag.types.types
    entry = types['rsgmamba_ros/msg/ModalityReliability']
    entries = [entry(modality=name, reliability=value, learned=value, signal_quality=1.0, presence=0, used=value > 0,
                     causes=[], skew_s=0.0, age_s=0.0) for name, value in values.items()]
    message = types['rsgmamba_ros/msg/Reliability'](header=bag.header(stamp_ns), leader='rgb', modalities=entries,
                                                    reports=[], latency_s=0.0, sensor_profile='')
    bag.write('/segmentation/reliability', 'rsgmamba_ros/msg/Reliability', message, received_ns=received_ns)


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    """A node that takes two bundles to notice a failing camera, and misses one image of the phase `depth back`."""
    folder, generator = tmp_path_factory.mktemp('demo') / 'bag', SceneGenerator(4, height=48, width=64)
    with BagWriter(folder) as bag:
        for tick in range(round(PHASES[-1].end_s * 1e9) // PERIOD_NS):
            stamp_ns = START_NS + tick * PERIOD_NS
            time_s = tick * PERIOD_NS * 1e-9
            phase = PHASES[phase_at(PHASES, time_s)]
            scene = generator.render(time_s)
            common = {'stamp_ns': stamp_ns, 'received_ns': stamp_ns + 1_000_000}
            if Modality.RGB not in phase.missing:
                bag.write_image('/rgb/image', scene.rgb, encoding='rgb8', **common)
            if Modality.DEPTH not in phase.missing:
                bag.write_image('/depth/image', scene.encoded_auxiliary, encoding='16UC1', **common)
            if phase.name == 'depth back' and time_s < phase.start_s + 0.1:
                continue
            label_map = scene.label_map.copy()
            if phase.name == 'RGB dark':
                label_map[:24] = 255
            late = {'stamp_ns': stamp_ns, 'received_ns': stamp_ns + LATENCY_NS}
            bag.write_image('/segmentation', label_map, encoding='mono8', **late)
            noticed = time_s > phase.start_s + 0.3
            values = {str(m): 0.2 * (m not in phase.missing) if m in phase.failing and noticed else 0.9
                      for m in (Modality.RGB, Modality.DEPTH)}
            write_reliability(bag, stamp_ns, stamp_ns + LATENCY_NS, values)
            # The truth comes last: on a busy machine it may.
            bag.write_image('/ground_truth', scene.label_map, encoding='mono8', stamp_ns=stamp_ns,
                            received_ns=stamp_ns + LATENCY_NS + 1)
    return folder


@pytest.fixture(scope='module')
def recording(bag):
    return read_recording(bag, PHASES, start_ns=START_NS, auxiliary=Modality.DEPTH, labels=SYNTHETIC_LABELS)


@pytest.fixture(scope='module')
def summaries(recording):
    return {summary.name: summary for summary in summarise(recording, PHASES, auxiliary=Modality.DEPTH)}


@pytest.mark.parametrize('auxiliary', [Modality.DEPTH, Modality.THERMAL])
def test_the_script_is_one_that_the_sensors_understand(auxiliary):
    phases = demo_phases(auxiliary, 8.0)
    assert parse_faults(fault_script(phases)) == tuple(fault for phase in phases for fault in phase.faults)
    assert len(phases) >= 8 and phases[-1].end_s < 120


def test_every_failing_camera_works_in_the_next_phase():
    for phase, after in zip(PHASES, PHASES[1:]):
        assert not set(phase.failing) & {fault.modality for fault in after.faults}


def test_a_moment_on_the_border_belongs_to_the_later_phase():
    assert [phase_at(PHASES, time_s) for time_s in (-0.1, 0.0, 0.999, 1.0, 0.9999999, 99.0)] == [None, 0, 0, 1, 1, None]


def test_published_and_expected_count_leading_images(summaries):
    assert {name: (s.published, s.expected) for name, s in summaries.items()} == {
        name: (4 if name == 'depth back' else 5, 5) for name in NAMES}


def test_miou_is_of_the_same_moment(summaries):
    assert all(summaries[name].miou == 1.0 for name in NAMES if name != 'RGB dark')
    assert 0 < summaries['RGB dark'].miou < 0.9


def test_reliability_of_a_missing_camera_is_low_and_the_fall_is_counted(summaries):
    assert summaries['depth missing'].reliability['depth'] < 0.5 < summaries['depth missing'].reliability['rgb']
    assert summaries['depth noisy'].fell_within == {'depth': 3}
    assert summaries['RGB dark'].fell_within == {'rgb': 3} and summaries['RGB dark'].recovered_within == {'depth': 1}
    assert summaries['nominal'].fell_within == summaries['nominal'].recovered_within == {}


def test_latency_is_arrival_minus_stamp(summaries):
    assert summaries['nominal'].latency_ms == {'p50': pytest.approx(30, abs=0.1), 'p95': pytest.approx(30, abs=0.1)}


def test_summary_has_the_stated_schema(summaries):
    summary = json.loads(json.dumps(as_json(list(summaries.values()), {'seed': 4})))
    assert summary['schema_version'] == 1 and summary['seed'] == 4
    for phase in summary['phases']:
        assert {'name', 'expected', 'published', 'miou', 'reliability', 'latency_ms'} <= set(phase)
        assert set(phase['reliability']) == {'rgb', 'depth'} and set(phase['latency_ms']) == {'p50', 'p95'}


def test_the_table_has_a_line_for_each_phase(summaries):
    lines = table(list(summaries.values()), (Modality.RGB, Modality.DEPTH)).splitlines()
    assert [line.split('  ')[0] for line in lines[2:]] == NAMES
    assert '4/5' in lines[4] and 'depth down 3' in lines[5]


def test_the_picture_is_drawn(recording, tmp_path):
    draw(tmp_path / 'demo.png', recording, PHASES, auxiliary=Modality.DEPTH, labels=SYNTHETIC_LABELS)
    assert (tmp_path / 'demo.png').stat().st_size > 20_000


def test_a_silent_camera_is_shown_as_such(recording):
    panel = recording.panels[NAMES.index('RGB missing')]
    assert panel.images[Modality.RGB] is None and panel.images[Modality.DEPTH] is not None


def test_a_recording_that_ends_early_is_evaluated_as_far_as_it_goes(tmp_path):
    generator = SceneGenerator(4, height=48, width=64)
    with BagWriter(tmp_path / 'bag') as bag:
        for topic, kind in (('/segmentation', 'Image'), ('/depth/image', 'Image'), ('/ground_truth', 'Image')):
            bag.add_topic(topic, f'sensor_msgs/msg/{kind}')
        bag.add_topic('/segmentation/reliability', 'rsgmamba_ros/msg/Reliability')
        bag.write_image('/rgb/image', generator.render().rgb, encoding='rgb8', stamp_ns=START_NS, received_ns=START_NS)
    recording = read_recording(tmp_path / 'bag', PHASES, start_ns=START_NS, auxiliary=Modality.DEPTH,
                               labels=SYNTHETIC_LABELS)
    summaries = summarise(recording, PHASES, auxiliary=Modality.DEPTH)
    assert (summaries[0].expected, summaries[0].published, summaries[0].miou) == (1, 0, None)
    assert '0/1' in table(summaries, (Modality.RGB, Modality.DEPTH))
    draw(tmp_path / 'demo.png', recording, PHASES, auxiliary=Modality.DEPTH, labels=SYNTHETIC_LABELS)


def test_no_bag_is_one_clear_error(tmp_path):
    with pytest.raises(BagError, match='bag'):
        read_recording(tmp_path / 'bag', PHASES, start_ns=0, auxiliary=Modality.DEPTH, labels=SYNTHETIC_LABELS)
