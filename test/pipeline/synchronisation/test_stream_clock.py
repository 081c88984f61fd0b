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
        stamp = START + round(index * period)
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
    assert not clock.is_dead(last + 3 * period + S // 5 - 2)
    assert clock.is_dead(last + 3 * period + S // 5 + 2)
    assert clock.streak == 10 and clock.silence_ns(last + S) == S


def test_until_its_rhythm_is_known_a_stream_is_dead_after_a_second():
    assert StreamClock().is_dead(START) and StreamClock().silence_ns(START) is None
    clock = feed(StreamClock(), range(3))
    last = START + 2 * PERIOD + 5 * MS
    assert not clock.is_dead(last + S) and clock.is_dead(last + S + 1)


def test_a_stream_with_a_gap_is_dead_after_twice_that_gap():
    clock = feed(StreamClock(), [0, 1, 2, 3, 11, 12, 13])
    last = START + 13 * PERIOD + 5 * MS
    assert clock.longest_gap_ns == 8 * PERIOD
    assert not clock.is_dead(last + 16 * PERIOD) and clock.is_dead(last + 16 * PERIOD + 1)


def test_the_lags_are_those_of_the_window_and_of_its_newest_images():
    clock = StreamClock()
    for index in range(50):
        stamp = START + index * PERIOD
        clock.observe(stamp, stamp + (3 if index < 20 else 4 if index < 42 else 9 if index % 2 else 6) * MS)
    assert clock.lowest_lag_ns == 4 * MS and clock.newest_lag_ns == 6 * MS
    assert clock.highest_lag_ns(S) == 9 * MS and clock.highest_lag_ns(8 * MS) == 6 * MS
    assert clock.highest_lag_ns(3 * MS) is None and StreamClock().newest_lag_ns is None


def test_delivery_that_varies_does_not_raise_the_usual_lag_and_steady_delivery_does():
    slow = feed(feed(StreamClock(), range(40)), range(40, 80), delay_ms=45)
    assert slow.usual_lag_ns == slow.lowest_lag_ns == 45 * MS
    varying = feed(StreamClock(), range(40))
    for index in range(40, 80):
        stamp = START + index * PERIOD
        varying.observe(stamp, stamp + (15 + 40 * (index % 2)) * MS)
    assert varying.lowest_lag_ns == 15 * MS and varying.usual_lag_ns == 5 * MS


def test_after_its_clock_was_set_back_a_stream_begins_again():
    clock = feed(StreamClock(), range(30))
    clock.forget_stamps()
    assert clock.newest_stamp_ns is clock.lowest_lag_ns is clock.usual_lag_ns is None
    assert clock.period_ns == PERIOD and clock.streak == 30
    assert clock.observe(START, START + 31 * PERIOD) == '' and clock.newest_stamp_ns == START


def test_the_pace_at_the_start_is_told_from_four_images_on():
    clock = StreamClock()
    for index in range(4):
        assert clock.starting_pace == 1
        clock.observe(START + 2 * index * PERIOD, START + index * PERIOD)
    assert clock.starting_pace == clock.observed_pace == pytest.approx(2) and clock.pace == 1
    assert feed(StreamClock(), range(30)).starting_pace == 1


def test_the_streak_starts_again_after_a_silence_and_when_it_is_marked_failed():
    clock = feed(feed(StreamClock(), range(30)), range(60, 62))
    assert clock.streak == 2
    assert clock.has_failed and not feed(StreamClock(), range(30)).has_failed
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
    assert feed(clock, [24.5]).collisions == 1 and feed(clock, [22.5]).collisions == 2
    assert feed(clock, [30]).collisions == 0


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


def test_images_that_arrive_at_one_moment_have_no_pace_of_their_own():
    clock = StreamClock()
    for index in range(4):
        clock.observe(START + index * PERIOD, START)
    assert clock.observed_pace == 1
