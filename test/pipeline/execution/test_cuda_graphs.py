"""Functions of fixed shapes: what can be shown without a GPU, and what needs one."""
import numpy as np
import pytest
import torch

from rsgmamba_ros.pipeline.execution.cuda_graphs import CudaGraphRecorder, Recording, StaticFunction

CPU = torch.device('cpu')
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs CUDA')


def scaled(image, factor):
    return image.float() * factor, image.sum(dtype=torch.int64)[None]


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 255, (5, 7), dtype=np.uint8), rng.random(1, dtype=np.float32)


def check(function, given):
    result, total = function(*given)
    np.testing.assert_array_equal(result, given[0].astype(np.float32) * given[1])
    assert total.tolist() == [given[0].sum()]
    return result


def replayed(function, inputs):
    """A recorder that does on a CPU what a CUDA graph does: its outputs are the same tensors at each replay."""
    outputs = function(*inputs)

    def replay():
        for output, new in zip(outputs, function(*inputs)):
            output.copy_(new)
    return Recording(replay, outputs)


@pytest.mark.parametrize('record', [None, replayed, lambda function, inputs: None])
def test_each_call_gives_the_functions_result_as_arrays_of_its_own(record):
    function = StaticFunction(scaled, arrays(), CPU, record=record, received=2)
    first = check(function, arrays(1))
    kept = first.copy()
    check(function, arrays(2))
    np.testing.assert_array_equal(first, kept)


def test_arrays_that_are_not_contiguous_or_read_only_are_taken():
    function = StaticFunction(scaled, arrays(), CPU, received=2)
    image, factor = arrays(3)
    image, factor = np.asfortranarray(image)[::-1], factor.copy()
    factor.flags.writeable = False
    check(function, (image, factor))


def test_arrays_of_another_shape_are_refused():
    function = StaticFunction(scaled, arrays(), CPU, received=2)
    with pytest.raises(ValueError, match=r'array is \(5, 1\); this function was made for \(5, 7\)'):
        function(np.zeros((5, 1), np.uint8), np.zeros(1, np.float32))


def failing_recorder(monkeypatch):
    recorder, tries = CudaGraphRecorder(), []

    def fail(function, inputs, stream):
        tries.append(function)
        try:
            raise RuntimeError('operation not permitted when stream is capturing\nand more')
        finally:
            raise RuntimeError('capture was invalidated')
    recorder._stream = 'a stream'
    monkeypatch.setattr(recorder, '_warm_up', lambda function, inputs, stream: None)
    monkeypatch.setattr(recorder, '_record', fail)
    return recorder, tries


def test_a_recording_that_fails_is_logged_once_with_its_first_cause_and_operators_are_launched(monkeypatch, caplog):
    recorder, tries = failing_recorder(monkeypatch)
    for seed in (1, 2):
        check(StaticFunction(scaled, arrays(), CPU, record=recorder, received=2), arrays(seed))
    assert len(tries) == 1
    assert recorder.problem == 'operation not permitted when stream is capturing'
    assert [record.levelname for record in caplog.records] == ['WARNING']
    assert recorder.problem in caplog.text


@needs_cuda
def test_a_replay_gives_what_the_operators_give():
    recorder = CudaGraphRecorder()
    functions = [StaticFunction(scaled, arrays(), torch.device('cuda'), record=recorder, received=2) for _ in range(2)]
    assert recorder.problem is None
    for seed in range(4):
        check(functions[seed % 2], arrays(seed))


@needs_cuda
def test_a_function_that_waits_for_the_device_is_not_recorded_and_still_right(caplog):
    def waiting(image, factor):
        factor.item()
        return scaled(image, factor)

    recorder = CudaGraphRecorder()
    stream = torch.cuda.current_stream()
    for seed in (1, 2):
        check(StaticFunction(waiting, arrays(), torch.device('cuda'), record=recorder, received=2), arrays(seed))
    assert recorder.problem and len(caplog.records) == 1
    assert torch.cuda.current_stream() == stream
