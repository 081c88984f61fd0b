from threading import Event

import pytest

from rsgmamba_ros.ros.segmentation.inference_thread import InferenceThread


class Work:
    """Stands in for the network: finishes a bundle when it is told to."""

    def __init__(self):
        self.done = []
        self.forgotten_before = []
        self.started = Event()
        self.may_finish = Event()

    def __call__(self, bundle):
        self.started.set()
        assert self.may_finish.wait(10)
        self.done.append(bundle)

    def forget(self):
        self.forgotten_before.append(len(self.done))


@pytest.fixture
def work():
    return Work()


def started(work, queue_size):
    thread = InferenceThread(work, forget=work.forget, queue_size=queue_size)
    assert thread.put('first') == 0
    assert work.started.wait(10)
    return thread


def finish(work, thread, count):
    work.may_finish.set()
    while len(work.done) < count:
        work.started.wait(0.01)
    return thread.stop()


@pytest.mark.parametrize('queue_size, superseded, done', [
    (1, [0, 1, 1], ['first', 'd']), (2, [0, 0, 1], ['first', 'c', 'd']), (9, [0, 0, 0], ['first', 'b', 'c', 'd'])])
def test_the_newest_wins_and_every_loss_is_told(work, queue_size, superseded, done):
    thread = started(work, queue_size)
    assert [thread.put(bundle) for bundle in 'bcd'] == superseded
    assert finish(work, thread, len(done)) == 0
    assert work.done == done


def test_clearing_drops_what_waits_and_forgets_before_the_next_bundle(work):
    thread = started(work, 4)
    thread.put('old')
    assert thread.clear() == 1
    thread.put('new')
    finish(work, thread, 2)
    assert work.done == ['first', 'new']
    assert work.forgotten_before == [1]


def test_stopping_finishes_the_bundle_in_work_and_tells_what_it_dropped(work):
    thread = started(work, 4)
    thread.put('waiting')
    work.may_finish.set()
    dropped = thread.stop()
    assert work.done[0] == 'first'
    assert dropped + len(work.done) == 2


def test_an_error_in_the_work_does_not_end_the_thread(capfd):
    done = Event()

    def work(bundle):
        if bundle == 'bad':
            raise RuntimeError('of this bundle')
        done.set()

    thread = InferenceThread(work, forget=list, queue_size=2)
    thread.put('bad')
    thread.put('good')
    assert done.wait(10)
    thread.stop()
    assert 'of this bundle' in capfd.readouterr().err


def test_an_idle_thread_stops_at_once(work):
    assert InferenceThread(work, forget=work.forget).stop() == 0


def test_a_queue_of_nothing_is_refused(work):
    with pytest.raises(ValueError, match='queue_size is 0'):
        InferenceThread(work, forget=work.forget, queue_size=0)
