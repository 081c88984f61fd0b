"""What relative lags tell about a clock."""
import random

from rsgmamba_ros.pipeline.synchronisation.clock_comparison import ClockComparison
from rsgmamba_ros.pipeline.synchronisation.stream_clock import WINDOW_IMAGES

S = 1_000_000_000
MS = 1_000_000
PERIOD = S // 30


def comparison(*, estimate=False):
    return ClockComparison(tolerance_ns=50 * MS, limit_ns=150 * MS, estimate=estimate)


def feed(clock, lags_ms, start=0):
    for index, lag in enumerate(lags_ms):
        clock.observe(round(lag * MS), (start + index) * PERIOD)
    return clock


def test_equal_delivery_and_jitter_raise_no_doubt():
    rng = random.Random(2)
    for lags in ([2] * 90, [rng.uniform(0, 30) for _ in range(90)]):
        clock = feed(comparison(), lags)
        assert not clock.refusal(2 * MS) and clock.doubts('rgb') == [] and not clock.pair_doubt(2 * MS, 0, 'rgb')


def test_beyond_the_limit_either_way_is_refused_from_the_first_image():
    assert feed(comparison(), [200]).refusal(200 * MS) == 'behind'
    assert feed(comparison(), [-200]).refusal(-200 * MS) == 'ahead'
    assert not feed(comparison(), [120]).refusal(120 * MS)


def test_earlier_than_the_fastest_delivery_is_a_step_ahead_once_that_is_known():
    assert not comparison().refusal(-80 * MS)
    assert feed(comparison(), [2] * 60).refusal(-80 * MS) == 'ahead'
    assert not feed(comparison(), [80] * 60).refusal(5 * MS), 'a delivery that gets faster is no fault'
    assert 'earlier than ever' in feed(comparison(), [80] * 60).pair_doubt(5 * MS, 0, 'rgb')


def test_slower_delivery_is_paired_and_reported_at_once_and_later():
    clock = feed(comparison(), [2] * 60)
    assert 'later than usual' in clock.pair_doubt(82 * MS, 0, 'rgb') and not clock.refusal(82 * MS)
    assert 'arrives 0.08 s later' in feed(clock, [82] * 120, start=60).doubts('rgb')[0]
    assert not clock.refusal(82 * MS)


def test_the_same_lag_after_the_clock_was_set_back_is_refused_until_it_recovers():
    clock = feed(comparison(), [2] * 60)
    clock.set_back(80 * MS)
    assert feed(clock, [82] * 90, start=60).refusal(82 * MS) == 'behind'
    assert not feed(clock, [2] * 60, start=150).refusal(2 * MS)


def test_a_creeping_lag_is_a_drift_and_refused_by_what_it_may_cost():
    clock = feed(comparison(), [2 + index / 3 for index in range(150)])
    assert clock.drift_ns > 25 * MS and 'drifts' in clock.doubts('rgb')[0]
    assert clock.refusal(42 * MS, 0) == 'drift'


def test_estimation_corrects_by_the_relative_lag_only_while_there_is_a_fault():
    assert feed(comparison(estimate=True), [2] * 60).correction_ns == 0
    clock = feed(comparison(estimate=True), [-198] * 60)
    assert clock.correction_ns == -198 * MS and not clock.refusal(-198 * MS)
    assert '(corrected)' in clock.doubts('rgb')[0]


def test_a_slow_start_is_forgotten_once_faster_delivery_has_lasted():
    clock = feed(comparison(), [80] * 60)
    feed(clock, [2] * 6 * WINDOW_IMAGES, start=60)
    assert 'earlier against rgb than at first' in clock.doubts('rgb')[0]
    feed(clock, [2] * 6 * WINDOW_IMAGES, start=60 + 6 * WINDOW_IMAGES)
    assert clock.doubts('rgb') == []
    assert clock.refusal(-60 * MS) == 'ahead', 'what is normal now is what a step is measured from'


def test_the_limits_are_inclusive():
    assert not feed(comparison(), [150]).refusal(150 * MS) and not feed(comparison(), [-150]).refusal(-150 * MS)
    assert feed(comparison(), [150.001]).refusal(round(150.001 * MS)) == 'behind'
    assert feed(comparison(), [-150.001]).refusal(round(-150.001 * MS)) == 'ahead'


def test_one_image_is_doubted_from_three_quarters_of_the_tolerance_on():
    clock = feed(comparison(), [2] * 60)
    for lag, doubt in ((39, ''), (40, '0.04 s later than usual'), (-35, ''), (-36, '0.04 s earlier than ever')):
        text = clock.pair_doubt(lag * MS, 0, 'rgb')
        assert doubt in text and bool(doubt) == bool(text), lag


def test_what_people_read_says_how_far_and_which_way_a_clock_is_off():
    assert feed(comparison(), [200] * 60).doubts('rgb') == [
        'clock is 0.20 s behind rgb, or images are delivered that late (not paired)']
    assert feed(comparison(), [-250] * 60).doubts('rgb') == ['clock is 0.25 s ahead of rgb (not paired)']
    stepped = feed(comparison(estimate=True), [2] * 60)
    assert feed(stepped, [-198] * 60, start=60).doubts('rgb') == ['clock has stepped 0.20 s ahead of rgb (corrected)']
    late = feed(comparison(), [2] * 60)
    assert feed(late, [302] * 60, start=60).doubts('rgb') == [
        'clock has stepped 0.30 s behind rgb, or images are delivered that late (not paired)']
    assert feed(comparison(), [60] * 60).doubts('rgb') == [
        'arrives 0.06 s later than rgb at equal stamps: delivery, or its clock is behind']
    assert feed(comparison(), [-60] * 60).doubts('rgb') == [
        'arrives 0.06 s earlier than rgb at equal stamps: delivery, or its clock is ahead']


def test_delivery_that_varies_and_gets_slower_is_no_drift():
    steady = feed(comparison(), [2] * 60 + [2 + index / 3 for index in range(120)])
    assert 'drifts' in steady.doubts('rgb')[0]
    varying = feed(comparison(), [2] * 60 + [2 + index / 3 + 30 * (index % 2) for index in range(120)])
    assert varying.drift_ns == 0 and not varying.refusal(42 * MS, 0)


def test_a_drift_that_costs_little_is_reported_and_paired():
    clock = feed(comparison(), [2 + index / 3 for index in range(120)])
    assert clock.drift_ns == 29 * MS
    assert clock.refusal(41 * MS, 0) == clock.refusal(41 * MS, MS) == clock.refusal(41 * MS, -MS) == ''
    assert clock.refusal(41 * MS, 2 * MS) == clock.refusal(41 * MS, -2 * MS) == 'drift'
    assert clock.doubts('rgb') == ['clock drifts against rgb: 0.03 s further behind it than at first (not paired)']


def test_a_clock_that_is_wrong_at_first_may_recover():
    clock = feed(feed(comparison(), [200] * 60), [2] * 90, start=60)
    assert clock.refusal(2 * MS) == '' and clock.doubts('rgb') == []
