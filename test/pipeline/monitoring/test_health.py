"""Claims of the health monitor."""
from dataclasses import replace
import json
import random

import numpy as np
import pytest

from rsgmamba_ros.pipeline.monitoring.health import HealthConfig, HealthLevel, HealthMonitor
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import BundleSlot, ImageBundle, Modality, Presence, StampedImage
from rsgmamba_ros.vocabulary.segmentation import ModalityReliability, Segmentation

RGB, DEPTH = Modality.RGB, Modality.DEPTH
S = 1_000_000_000
START = 1_700_000_000 * S
PIXELS = np.zeros((1, 1), np.uint8)


def segmentation(stamp_ns, reliability=None):
    reliability = {RGB: 0.9, DEPTH: 0.8} if reliability is None else reliability
    figures = {modality: ModalityReliability(value, value, 1.0, Presence.PRESENT, value > 0)
               for modality, value in reliability.items()}
    return Segmentation(stamp_ns, 'camera', RGB, PIXELS, PIXELS, figures)


def run(monitor, seconds=6.0, *, rgb=lambda t: True, depth=lambda t: True, output=lambda t: True,
        latency_s=lambda t: 0.05, reliability=None):
    """Feed both sensors and the results at 30 Hz; give the time at the end."""
    for index in range(round(seconds * 30)):
        time_s = index / 30
        now = START + index * S // 30
        for modality, arrives in ((RGB, rgb), (DEPTH, depth)):
            if arrives(time_s):
                monitor.image_arrived(modality, stamp_ns=now - 5_000_000, now_ns=now)
        if output(time_s):
            monitor.segmented(segmentation(now - round(latency_s(time_s) * S), reliability), now_ns=now)
    return START + round(seconds * S)


def texts(report):
    return [f'{finding.source}: {finding.text}' for finding in report.findings]


@pytest.fixture
def monitor():
    return HealthMonitor((RGB, DEPTH))


def test_all_is_well_at_nominal_rates(monitor):
    report = monitor.report(run(monitor))
    assert report.level is HealthLevel.OK and report.findings == ()
    assert report.inputs['rgb'].rate_hz == pytest.approx(30, abs=0.5)
    assert report.inputs['rgb'].learned_rate_hz == pytest.approx(30, abs=0.5)
    assert report.output_rate_hz == pytest.approx(30, abs=0.5)
    assert report.latency_ms['p50'] == pytest.approx(50, abs=1)
    assert report.inputs['depth'].reliability == pytest.approx(0.8)
    assert 'results a second' in report.summary


def test_input_and_output_rates_are_told_apart(monitor):
    report = monitor.report(run(monitor, output=lambda t: round(t * 30) % 6 == 0))
    assert report.output_rate_hz == pytest.approx(5, abs=0.3)
    assert report.inputs['rgb'].rate_hz == pytest.approx(30, abs=0.5)


def test_a_dropout_has_a_start_and_a_length(monitor):
    end = run(monitor, 8, depth=lambda t: not 2 <= t < 4)
    report = monitor.report(end)
    assert report.inputs['depth'].dropout_count == 1
    dropout = report.inputs['depth'].dropouts[0]
    assert (dropout.start_ns - START) / S == pytest.approx(2 - 1 / 30, abs=0.001)
    assert dropout.length_s == pytest.approx(2 + 1 / 30, abs=0.001) and not dropout.ongoing
    assert report.level is HealthLevel.OK, texts(report)


def test_a_sensor_that_stopped_is_a_warning_and_no_sensor_at_all_an_error(monitor):
    report = monitor.report(run(monitor, depth=lambda t: t < 4))
    assert report.level is HealthLevel.WARN and texts(report) == ['depth: stopped 2.0 s ago']
    assert report.inputs['depth'].dropouts[-1].ongoing and report.inputs['depth'].dropout_count == 1
    assert report.summary == 'depth: stopped 2.0 s ago'
    report = monitor.report(START + 10 * S)
    assert report.level is HealthLevel.ERROR and 'no image arrives' in report.summary


def test_never_received_is_told_apart_from_stopped(monitor):
    assert texts(monitor.report(run(monitor, depth=lambda t: False))) == [
        'depth: never received: check the name of the topic and its QoS']


def test_no_result_while_images_arrive_is_an_error(monitor):
    report = monitor.report(run(monitor, output=lambda t: t < 3))
    assert report.level is HealthLevel.ERROR and 'no result for 3.0 s' in report.summary


@pytest.mark.parametrize('lost', [0.5, 0.7, 0.8])
def test_a_stream_that_loses_images_on_the_way_is_seen_from_the_start(monitor, lost):
    rng = random.Random(1)
    report = monitor.report(run(monitor, 10, rgb=lambda t: rng.random() > lost))
    assert report.inputs['rgb'].learned_rate_hz == pytest.approx(30, abs=1)
    assert any('images are lost on the way' in text for text in texts(report)), texts(report)


def test_a_slow_sensor_is_no_lossy_one(monitor):
    report = monitor.report(run(monitor, 10, depth=lambda t: round(t * 30) % 3 == 0))
    assert report.inputs['depth'].learned_rate_hz == pytest.approx(10, abs=0.5)
    assert report.level is HealthLevel.OK


@pytest.mark.parametrize('seconds', [1, 2, 6])
def test_a_simulation_at_half_speed_loses_no_images(monitor, seconds):
    for index in range(15 * seconds):
        now = START + index * S // 15
        for modality in (RGB, DEPTH):
            monitor.image_arrived(modality, stamp_ns=5 * S + index * S // 30, now_ns=now)
    assert not [text for text in texts(monitor.report(START + seconds * S)) if 'lost' in text]


def test_advice_is_a_finding_while_results_have_it(monitor):
    result = segmentation(START)
    state = replace(result.reliability[DEPTH], advice='set depth_unit_m')
    run(monitor, 1)
    monitor.segmented(replace(result, reliability={**result.reliability, DEPTH: state}), now_ns=START + S)
    assert 'depth: set depth_unit_m' in texts(monitor.report(START + S))
    monitor.segmented(segmentation(START), now_ns=START + S)
    assert 'depth: set depth_unit_m' not in texts(monitor.report(START + S))


def test_a_stream_that_slows_down_is_below_its_usual_rate(monitor):
    for second in range(5, 31, 5):
        run_part(monitor, second - 5, second, every=1)
        monitor.report(START + second * S)
    run_part(monitor, 30, 40, every=3)
    assert 'depth: arrives at 33 % of its rate' in ' '.join(texts(monitor.report(START + 40 * S)))


def run_part(monitor, start_s, end_s, *, every):
    for index in range(start_s * 30, end_s * 30):
        now = START + index * S // 30
        monitor.image_arrived(RGB, stamp_ns=now, now_ns=now)
        if index % every == 0:
            monitor.image_arrived(DEPTH, stamp_ns=now, now_ns=now)
        monitor.segmented(segmentation(now), now_ns=now)


def test_drops_are_counted_by_cause_and_those_that_matter_warn(monitor):
    end = run(monitor)
    monitor.synchroniser_counted({'depth.drop.unused': 90, 'depth.present': 100}, now_ns=end)
    assert monitor.report(end).level is HealthLevel.OK
    for total in (20, 40):
        monitor.synchroniser_counted({'depth.drop.too_late': total}, now_ns=end)
    monitor.image_dropped('rgb.drop.undecodable', now_ns=end)
    report = monitor.report(end)
    assert report.drops == {'depth.drop.unused': 90, 'depth.drop.too_late': 40, 'rgb.drop.undecodable': 1}
    assert 'depth.drop.too_late 40, rgb.drop.undecodable 1' in report.summary and report.level is HealthLevel.WARN


def test_high_and_growing_latency_warn(monitor):
    report = monitor.report(run(monitor, latency_s=lambda t: 0.8))
    assert 'latency is 0.80 s' in report.summary
    monitor = HealthMonitor((RGB, DEPTH))
    report = monitor.report(run(monitor, latency_s=lambda t: 0.02 + 0.08 * t))
    assert 'latency grows' in ' '.join(texts(report))


def test_latencies_are_given_by_rank(monitor):
    for index in range(101):
        now = START + index * S // 50
        monitor.image_arrived(RGB, stamp_ns=now, now_ns=now)
        monitor.segmented(segmentation(now - ((37 * index) % 101) * 1_000_000), now_ns=now)
    latency = monitor.report(START + 2 * S).latency_ms
    assert latency == pytest.approx({'p50': 50, 'p95': 95, 'max': 100})


@pytest.mark.parametrize('latency_s, level', [(0.49, HealthLevel.OK), (0.51, HealthLevel.WARN)])
def test_a_latency_warns_from_half_a_second_on(monitor, latency_s, level):
    assert monitor.report(run(monitor, latency_s=lambda t: latency_s)).level is level


@pytest.mark.parametrize('silence_s, level', [(1.9, HealthLevel.OK), (2.1, HealthLevel.ERROR)])
def test_silence_of_the_output_is_an_error_after_two_seconds(monitor, silence_s, level):
    assert monitor.report(run(monitor, output=lambda t: t <= 6 - silence_s)).level is level


@pytest.mark.parametrize('count, level', [(14, HealthLevel.OK), (15, HealthLevel.WARN)])
def test_one_image_in_twenty_may_be_dropped(monitor, count, level):
    end = run(monitor)
    monitor.image_dropped('depth.drop.too_late', now_ns=end, count=count)
    assert monitor.report(end).level is level, '298 images came in the window'


def test_a_drop_before_the_window_warns_no_more(monitor):
    run(monitor, 1)
    monitor.image_dropped('depth.drop.too_late', now_ns=START + S, count=100)
    end = run(monitor, 7)
    report = monitor.report(end)
    assert report.level is HealthLevel.OK and report.drops == {'depth.drop.too_late': 100}


def test_the_worst_finding_makes_the_summary(monitor):
    report = monitor.report(run(monitor, depth=lambda t: t < 4, output=lambda t: t < 3))
    assert {finding.level for finding in report.findings} == {HealthLevel.WARN, HealthLevel.ERROR}
    assert report.level is HealthLevel.ERROR and report.summary == 'output: no result for 3.0 s while images arrive'


def test_low_reliability_and_clock_reports_warn(monitor):
    end = run(monitor, reliability={RGB: 0.9, DEPTH: 0.1})
    image = StampedImage(RGB, end, end, PIXELS, 'mono8')
    slots = {RGB: BundleSlot(Presence.PRESENT, image, 0.0, 0.0), DEPTH: BundleSlot(Presence.STALE)}
    monitor.bundle_released(ImageBundle(RGB, slots, end, ('depth: clock is 0.20 s ahead of rgb',)))
    report = monitor.report(end)
    assert texts(report) == ['depth: reliability is 0.10', 'synchroniser: depth: clock is 0.20 s ahead of rgb']
    assert report.inputs['depth'].presence == {'stale': 1.0} and report.bundles == 1


def test_a_report_is_json(monitor):
    values = json.loads(json.dumps(monitor.report(run(monitor, depth=lambda t: t < 4)).as_json()))
    assert values['level'] == 'WARN' and values['inputs']['depth']['dropouts'][0]['ongoing'] is True
    assert values['findings'][0] == {'level': 'WARN', 'source': 'depth', 'text': 'stopped 2.0 s ago'}


def test_an_empty_monitor_reports_that_nothing_arrives(monitor):
    assert monitor.report(START).level is HealthLevel.ERROR


def test_reset_forgets_rates_and_keeps_counts(monitor):
    monitor.image_dropped('rgb.drop.undecodable', now_ns=run(monitor))
    monitor.reset()
    report = monitor.report(START - 100 * S)
    assert report.drops == {'rgb.drop.undecodable': 1} and report.results == 180
    assert report.inputs['rgb'].age_s is None


@pytest.mark.parametrize('values', [{'window_s': 0.0}, {'max_latency_s': -1.0}, {'min_reliability': float('nan')}])
def test_a_wrong_configuration_is_refused(values):
    with pytest.raises(ConfigError):
        HealthConfig(**values)
