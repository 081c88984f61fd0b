"""Freed memory stays with the process, where the C library can be told so."""
import ctypes
import platform
import types

import pytest

from rsgmamba_ros.ops.cpu.memory import keep_freed_memory


@pytest.fixture
def fresh():
    keep_freed_memory.cache_clear()
    yield
    keep_freed_memory.cache_clear()


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='only glibc can be told so')
def test_glibc_accepts_the_options(fresh):
    assert keep_freed_memory()


def test_another_c_library_is_left_alone(fresh, monkeypatch):
    monkeypatch.setattr(ctypes, 'CDLL', lambda name: types.SimpleNamespace())
    assert not keep_freed_memory()
