"""The kernels for this CPU: compiled with the package, or else on first use by the machine's compiler.

What is compiled on first use is kept in the user's cache folder. Either library depends on nothing but OpenMP, of
which it uses torch's own copy: a second one would bring a second pool of threads that spin against the first.
"""
from __future__ import annotations

import ctypes
from functools import lru_cache
import hashlib
import os
from pathlib import Path
import platform
import shutil
import subprocess
import tempfile

import torch

from rsgmamba_ros.ops.cpu.built import built_library, FOLDER, HEADERS, load, SOURCES
from rsgmamba_ros.vocabulary.errors import BackendUnavailableError

FLAGS = ('-O3', '-march=native', '-std=c++17', '-fPIC', '-fopenmp', '-Wno-ignored-attributes')

_P, _I, _N = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
SIGNATURES = {
    'selective_scan_forward': (_P, _I, *[_P] * 10, _I),
    'selective_scan_backward': (*[_P] * 18, _I),
    'layer_norm': (_I, *[_P] * 6, _N, _N, ctypes.c_float, _I),
    'depthwise_silu': (_I, _P, _N, _P, _P, _N, _N, _N, _N, _I),
    'gelu_in_place': (_I, _P, _N, _I),
    'decide': (_P, *[_N] * 5, _P, _P, _I),
}


@lru_cache(maxsize=1)
def cpu_library() -> ctypes.CDLL:
    """The compiled kernels; where none were built with the package, the first call in a user's life takes some seconds.

    Raises:
        BackendUnavailableError: none were built with the package, and there is no compiler, or it failed.
        OSError: the library cannot be loaded.
    """
    ready = built_library()
    library = load(ready, _openmp_library()) if ready else ctypes.CDLL(str(_compiled()))
    for name, arguments in SIGNATURES.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, None
    return library


def _compiled() -> Path:
    """The library that this machine's compiler made, now or earlier."""
    compiler = shutil.which(os.environ.get('CXX', 'g++')) or shutil.which('c++')
    if compiler is None:
        raise BackendUnavailableError('the package was built without kernels for this CPU, and no C++ compiler is '
                                      'installed (looked for $CXX, g++ and c++)')
    path = _cache_folder() / f'cpu_library_{_fingerprint(compiler)}.so'
    if not path.exists():
        _build(compiler, path)
    return path


@lru_cache(maxsize=1)
def cpu_library_problem() -> str | None:
    """Why the compiled kernels cannot be used on this machine; None if they can."""
    try:
        cpu_library()
    except (BackendUnavailableError, OSError) as error:
        return str(error)
    return None


def _fingerprint(compiler: str) -> str:
    """What the binary depends on: sources, flags, compiler, kind of CPU, OpenMP library."""
    version = subprocess.run([compiler, '--version'], capture_output=True, text=True, check=False).stdout
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        lines = [platform.processor()]
    features = [line for line in lines if line.lower().startswith(('flags', 'features'))][:1] or lines[:1]
    sources = [(FOLDER / name).read_text(encoding='utf-8') for name in (*HEADERS, *SOURCES)]
    parts = (*sources, ' '.join(FLAGS), version, platform.machine(), *features, str(_openmp_library()))
    return hashlib.sha256('\0'.join(parts).encode()).hexdigest()[:16]


def _cache_folder() -> Path:
    folder = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'rsgmamba_ros'
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return _private_folder()
    return folder if os.access(folder, os.W_OK) else _private_folder()


@lru_cache(maxsize=1)
def _private_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix='rsgmamba_ros_'))


def _openmp_library() -> Path | None:
    """The OpenMP library that torch brings along; None where torch uses the system's."""
    root = Path(torch.__file__).parent
    found = sorted([*root.glob('lib/libgomp*.so*'), *root.parent.glob('torch.libs/libgomp*.so*')])
    return found[0] if found else None


def _build(compiler: str, path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        objects = {name: str(Path(folder) / f'{name}.o') for name in SOURCES}
        _run([[compiler, *FLAGS, '-c', str(FOLDER / name), '-o', made] for name, made in objects.items()])
        openmp = _openmp_library()
        linked = ['-fopenmp'] if openmp is None else [str(openmp), f'-Wl,-rpath,{openmp.parent}']
        built = Path(folder) / path.name
        _run([[compiler, '-shared', *objects.values(), *linked, '-o', str(built)]])
        os.replace(built, path)  # in one step: another process may be loading it


def _run(commands: list[list[str]]) -> None:
    """Run commands side by side."""
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
               for command in commands]
    outputs = [process.communicate()[0] for process in running]
    for command, process, output in zip(commands, running, outputs):
        if process.returncode:
            raise BackendUnavailableError(f'{" ".join(command)} failed: {output.strip()[:500]}')
