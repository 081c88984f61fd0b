"""The scan's benchmark runs at a small size; numba's result is compared with the compiled one where it is installed."""
import pytest


@pytest.fixture(scope='module')
def script(load_benchmark):
    return load_benchmark('scan')


def test_every_backend_is_timed(script):
    figures = script.measure(script.Case(1, 4, 6, 48, 2, 3), repeats=1, threads=1)
    assert set(figures) - {'numba'} == set(script.BACKENDS) and min(figures.values()) > 0


def test_numba_gives_the_same(script):
    pytest.importorskip('numba', reason='the candidate that was dropped is not installed')
    assert 'numba' in script.measure(script.Case(2, 4, 6, 48, 1, 3), repeats=1, threads=1)
