from threading import current_thread, Event

import pytest

from rsgmamba_ros.evaluation.worker import call_ahead, Worker


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


@pytest.mark.parametrize('count', [0, 3, 20])
def test_results_come_in_the_order_of_the_items_and_are_worked_out_ahead(count):
    taken = []

    def items():
        for index in range(count):
            taken.append((index, current_thread()))
            yield index

    for position, result in enumerate(call_ahead(lambda item: item * 10, items(), limit=4)):
        assert result == position * 10
        assert len(taken) == min(position + 5, count)
    assert taken == [(index, current_thread()) for index in range(count)]


def test_an_exception_is_raised_where_the_result_would_have_been():
    results = call_ahead(lambda item: 10 / item, [2, 1, 0, 5], limit=4)
    assert [next(results), next(results)] == [5, 10]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_nobody_need_take_all_results():
    results = call_ahead(lambda item: item, range(100), limit=4)
    assert next(results) == 0
    results.close()
