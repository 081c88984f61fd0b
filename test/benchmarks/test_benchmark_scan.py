"""The scan's benchmark runs at a small size; numba's result is compared with the compiled one where it is installed."""
import pytest


@pytest.fixture(scope='module')
def benchmark(load_benchmark):
    return load_benchmark('scan')


def test_every_backend_is_timed(benchmark):
    figures = benchmark.measure(benchmark.Case(1, 4, 6, 48, 2, 3), repeats=1, threads=1)
    assert set(figures) - {'numba'} == set(benchmark.BACKENDS) and min(figures.values()) > 0


def test_numba_gives_the_same(benchmark):
    pytest.importorskip('numba', reason='the candidate that was dropped is not installed')
    assert 'numba' in benchmark.measure(benchmark.Case(2, 4, 6, 48, 1, 3), repeats=1, threads=1)
