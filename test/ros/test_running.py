"""A node ends cleanly, however often it is told to."""
import signal
import time

import pytest

from rsgmamba_ros.ros import running


@pytest.fixture(autouse=True)
def handlers():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    for number, handler in zip((signal.SIGINT, signal.SIGTERM), before):
        signal.signal(number, handler)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_interrupt_the_end_of_a_node_that_was_not_made_yet(monkeypatch, number):
    ended = []

    def end():
        signal.raise_signal(number)
        ended.append(True)

    monkeypatch.setattr(running.rclpy, 'init', lambda **options: None)
    monkeypatch.setattr(running, 'try_shutdown', end)
    assert running.run_node('node', lambda: signal.raise_signal(number), None, close=None) == 0
    assert ended


@pytest.mark.parametrize('sign', ['', 'active'], ids=['while it starts', 'while it works'])
def test_three_signals_within_a_third_of_a_second_end_a_node_with_status_0(start_process, checkpoint_file, sign):
    node = start_process('rsgmamba_ros.ros.segmentation.node', namespace='/thrice', autostart=True,
                         checkpoint=checkpoint_file)
    if sign:
        node.wait_for_log(sign)
    else:
        # Its own handlers are there once it has a log of its own; before that Python itself ends it.
        node.wait_for_log('configured')
    for _ in range(3):
        node.process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    assert node.process.wait(30) == 0, node.log_since()
    assert 'Traceback' not in node.log_since() and 'terminate called' not in node.log_since()
