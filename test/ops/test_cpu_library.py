"""Building the kernels, and doing without them."""
import shutil

import pytest
import torch

from rsgmamba_ros.ops import cpu_library
from rsgmamba_ros.ops.selective_scan import choose_backend
from rsgmamba_ros.vocabulary.errors import BackendUnavailableError


@pytest.fixture
def fresh():
    """Nothing remembered before or after."""
    functions = (cpu_library.cpu_library, cpu_library.cpu_library_problem, choose_backend)
    for function in functions:
        function.cache_clear()
    yield
    for function in functions:
        function.cache_clear()


def test_without_a_compiler_auto_falls_back_and_says_why(fresh, monkeypatch, caplog):
    monkeypatch.setattr(shutil, 'which', lambda name: None)
    with caplog.at_level('INFO'):
        assert choose_backend('auto', 'cpu') == 'chunked'
    assert 'no C++ compiler' in caplog.text
    with pytest.raises(BackendUnavailableError, match='no C\\+\\+ compiler'):
        choose_backend('cpp', 'cpu')


def test_a_compiler_that_fails_is_reported(fresh, monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.setattr(cpu_library, 'FLAGS', ('--no-such-flag',))
    if shutil.which('g++') is None:
        pytest.skip('no g++')
    assert 'failed' in cpu_library.cpu_library_problem()
    assert not list(tmp_path.rglob('*.so'))


def test_openmp_is_torchs_own():
    if cpu_library.cpu_library_problem():
        pytest.skip(cpu_library.cpu_library_problem())
    cpu_library.cpu_library()
    torch.ones(1000).sum()
    with open('/proc/self/maps', encoding='utf-8') as maps:
        loaded = {line.split()[-1] for line in maps if 'libgomp' in line}
    assert len(loaded) == 1
