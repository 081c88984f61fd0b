"""The kernels that were compiled with the package, for several kinds of CPU: which one suits this machine.

A robot has no compiler, and a library for the machine that built the package may not run on another one.
"""
from __future__ import annotations

import ctypes
import hashlib
from pathlib import Path
import platform

import rsgmamba_ros

HEADERS = ('vectors.hpp', 'selective_scan.hpp')
SOURCES = ('selective_scan.cpp', 'selective_scan_backward.cpp', 'layers.cpp', 'decision.cpp')
FOLDER = Path(__file__).parent

_AVX2 = frozenset({'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'movbe'})
_AVX512 = _AVX2 | {'avx512f', 'avx512bw', 'avx512cd', 'avx512dq', 'avx512vl'}

#: Kinds of x86-64 CPU that `CMakeLists.txt` compiles for, best first, with the flags of /proc/cpuinfo that they need.
X86_KINDS: dict[str, frozenset[str]] = {
    'avx512_bf16': _AVX512 | {'avx512_bf16'},
    'avx512': _AVX512,
    'avx2': _AVX2,
    'sse4': frozenset({'sse4_2', 'popcnt', 'ssse3'}),
}


def fingerprint() -> str:
    """A hash of the sources, as `CMakeLists.txt` makes it."""
    text = ''.join((FOLDER / name).read_text(encoding='utf-8') for name in (*HEADERS, *SOURCES))
    return hashlib.sha256(text.encode()).hexdigest()


def built_library(folders: list[Path] | None = None, flags: frozenset[str] | None = None) -> Path | None:
    """The library for this CPU; None if none was built of these sources, or none runs here.

    Args:
        folders: where libraries may be; by default beside this module and in the installed package.
        flags: of the CPU; by default this machine's.
    """
    kinds = {platform.machine(): frozenset[str]()}
    if platform.machine() in ('x86_64', 'AMD64'):
        own = cpu_flags() if flags is None else flags
        kinds = {name: needed for name, needed in X86_KINDS.items() if needed <= own}
    for folder in _folders() if folders is None else folders:
        mark = folder / 'fingerprint'
        if mark.is_file() and mark.read_text(encoding='utf-8').strip() == fingerprint():
            found = [folder / f'{name}.so' for name in kinds if (folder / f'{name}.so').is_file()]
            if found:
                return found[0]
    return None


def load(path: Path, openmp: Path | None) -> ctypes.CDLL:
    """Load a library that was not linked with OpenMP.

    Args:
        openmp: the OpenMP library to use; None for the system's.

    Raises:
        OSError: it cannot be loaded.
    """
    ctypes.CDLL(str(openmp) if openmp else 'libgomp.so.1', mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(path))


def cpu_flags() -> frozenset[str]:
    """What this CPU can do, in the words of /proc/cpuinfo; empty where there is no such file."""
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(':')[2].split() for line in lines if line.startswith('flags')), []))


def _folders() -> list[Path]:
    # The package may lie in two places: its source tree, and where its messages were built.
    return [Path(folder) / 'ops' / 'cpu' / 'built' for folder in rsgmamba_ros.__path__]
