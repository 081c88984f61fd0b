"""The benchmark of the scan on a GPU says in one line that it needs one; with one it runs at a small size."""
import sys

import pytest
import torch


@pytest.fixture(scope='module')
def script(load_benchmark):
    return load_benchmark('scan_cuda')


def test_without_cuda_it_exits_with_one_line(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['scan_cuda.py'])
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(SystemExit) as stop:
        script.main()
    assert 'needs a GPU' in stop.value.code and '\n' not in stop.value.code
    assert capsys.readouterr().out == ''


def test_the_loop_runs_on_the_shortest_map_only(script):
    assert [case.height for case in script.CASES if script.is_smallest(case)] == [12]


@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA')
def test_triton_is_timed_and_accurate(script):
    case = script.scan.Case(1, 4, 6, 48, 2, 3)
    expected = script.selective_scan_map(*(tensor.double() for tensor in script.arguments(case, torch.float32)),
                                            backend='chunked')
    figures = script.measure(case, torch.float32, 'triton', expected)
    assert min(figures.values()) > 0 and figures['error'] < 1e-5
