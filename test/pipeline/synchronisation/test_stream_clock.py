"""Claims of the statistics of one stream."""
import random

import pytest

from rsgmamba_ros.pipeline.synchronisation.stream_clock import StreamClock

S = 1_000_000_000
MS = 1_000_000
START = 1_700_000_000 * S
PERIOD = S // 30


def feed(clock, indices, *, delay_ms=5, period=PERIOD, error_ns=0):
    for index in indices:
        stamp = START + index * period
        clock.observe(stamp + error_ns, stamp + delay_ms * MS)
    return clock


@pytest.mark.parametrize('lost', [0.0, 0.3, 0.5])
def test_the_period_is_the_sensor_s_even_if_images_are_lost(lost):
    rng = random.Random(1)
    clock = feed(StreamClock(), [index for index in range(90) if rng.random() >= lost])
    assert clock.period_ns == PERIOD and clock.shortest_period_ns == PERIOD


@pytest.mark.parametrize('period', [PERIOD, S // 10, S, 5 * S])
def test_a_stream_is_dead_after_a_few_periods_of_its_own_and_not_before(period):
    clock = feed(StreamClock(), range(10), period=period)
    last = START + 9 * period + 5 * MS
    assert not clock.is_dead(last + 2 * period)
    assert clock.is_dead(last + 3 * period + S // 5 + 2)
    assert clock.streak == 10


def test_the_streak_starts_again_after_a_silence_and_when_it_is_marked_failed():
    clock = feed(feed(StreamClock(), range(30)), range(60, 62))
    assert clock.streak == 2
    clock.mark_failed()
    assert feed(clock, [62]).streak == 1


def test_zero_and_repeated_stamps_are_faults_that_teach_nothing():
    clock = feed(StreamClock(), range(30))
    now = START + 30 * PERIOD
    assert clock.observe(0, now) == 'zero_stamp' and clock.stamps_fail == 'zero_stamp'
    assert clock.observe(START + 29 * PERIOD, now) == 'repeated_stamp' and not clock.stamps_fail
    assert clock.observe(START + 29 * PERIOD, now) == 'repeated_stamp' and clock.stamps_fail == 'repeated_stamp'
    assert clock.lowest_lag_ns == clock.highest_lag_ns(S) == 5 * MS and clock.period_ns == PERIOD


def test_a_clock_that_was_set_back_is_told_from_a_late_image():
    clock = feed(StreamClock(), [index for index in range(30) if index != 26])
    assert clock.set_back_ns(START + 26 * PERIOD) == 0
    assert clock.set_back_ns(START + 30 * PERIOD) == 0
    assert clock.set_back_ns(START + 24 * PERIOD + PERIOD // 2) == pytest.approx(5.5 * PERIOD, abs=2)


def test_the_order_counts_again_after_a_run_of_images_in_order():
    clock = feed(StreamClock(), [0, 1, 3, 2])
    assert not clock.in_order
    assert feed(clock, range(4, 64)).in_order


@pytest.mark.parametrize('speed', [0.5, 1.0, 3.0])
def test_the_pace_of_a_bag_at_another_speed_is_seen_and_that_of_a_step_is_not(speed):
    clock = StreamClock()
    for index in range(60):
        clock.observe(START + index * PERIOD, START + round(index * PERIOD / speed))
    assert clock.pace == pytest.approx(speed, rel=0.01)
    assert feed(feed(StreamClock(), range(60)), range(60, 75), error_ns=S).pace == 1


def test_a_stamp_that_is_still_the_old_one_after_a_silence_is_a_repeated_one():
    assert feed(StreamClock(), range(30)).observe(START + 29 * PERIOD, START + 5 * S) == 'repeated_stamp'
