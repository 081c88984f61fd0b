"""Building the kernels, and doing without them."""
import shutil
import subprocess
import sys

import pytest

from rsgmamba_ros.ops.cpu import library as cpu_library
from rsgmamba_ros.ops.selective_scan.contract import choose_backend
from rsgmamba_ros.vocabulary.errors import BackendUnavailableError


@pytest.fixture
def fresh(monkeypatch):
    """Nothing remembered before or after, and nothing compiled with the package."""
    monkeypatch.setattr(cpu_library, 'built_library', lambda: None)
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
    # In a process of its own: other tests import libraries that bring an OpenMP along, scikit-learn for one.
    program = ('import torch; from rsgmamba_ros.ops.cpu.library import cpu_library; cpu_library(); torch.ones(9).sum();'
               "print(len({line.split()[-1] for line in open('/proc/self/maps') if 'libgomp' in line}))")
    result = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == '1'
