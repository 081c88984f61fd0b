from threading import current_thread, Event

import pytest

from rsgmamba_ros.evaluation.worker import Worker


def test_tasks_are_done_in_order_on_another_thread():
    done, worker = [], Worker()
    for index in range(20):
        worker.submit(lambda index=index: done.append((index, current_thread().name)))
    worker.finish()
    assert done == [(index, 'worker') for index in range(20)]


def test_an_exception_is_raised_where_the_work_was_ordered_and_ends_it():
    done, ordered, worker = [], Event(), Worker()

    def fail():
        ordered.wait()
        raise ValueError('the disk is full')

    worker.submit(fail)
    worker.submit(lambda: done.append(1))
    ordered.set()
    with pytest.raises(ValueError, match='full'):
        worker.finish()
    assert done == []
    worker.finish()  # what was raised once is not raised again


def test_an_exception_is_raised_by_the_next_order():
    worker = Worker()

    def fail():
        raise ValueError('the disk is full')

    with pytest.raises(ValueError, match='full'):
        for _ in range(100):  # one of them finds the queue full and waits until the first has failed
            worker.submit(fail)
    worker.finish()
