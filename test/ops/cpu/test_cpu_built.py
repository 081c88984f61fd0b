"""The kernels that are compiled with the package: which one is taken, and that it needs no compiler."""
import os
import re
import shutil
import subprocess
import sys

import pytest

from rsgmamba_ros.ops.cpu import built

#: Normalises with the kernels in the folder that it is given; prints whether they are loaded, and how many OpenMPs are.
PROGRAM = """
import sys
from pathlib import Path
import torch
from rsgmamba_ros.ops.cpu import built, library
from rsgmamba_ros.ops.layers import layer_norm
built._folders = lambda: [Path(sys.argv[1])]
torch.set_grad_enabled(False)
assert library.cpu_library_problem() is None
x, w = torch.randn(2, 5, 7, 24), torch.randn(24)
torch.testing.assert_close(layer_norm(x, w, w, 1e-5), torch.nn.functional.layer_norm(x, (24,), w, w, 1e-5))
maps = Path('/proc/self/maps').read_text()
print('built/' in maps, len({line.split()[-1] for line in maps.splitlines() if 'libgomp' in line}))
"""

X86 = pytest.mark.skipif(os.uname().machine != 'x86_64', reason='the kinds of CPU are those of x86-64')


def make_folder(path, *names, mark=None):
    path.mkdir(parents=True)
    for name in names:
        (path / f'{name}.so').touch()
    (path / 'fingerprint').write_text(built.fingerprint() if mark is None else mark)
    return path


@X86
@pytest.mark.parametrize('kind', built.X86_KINDS)
def test_the_best_library_that_the_cpu_can_run_is_taken(tmp_path, kind):
    folder = make_folder(tmp_path / 'built', *built.X86_KINDS)
    assert built.built_library([folder], built.X86_KINDS[kind] | {'sse4_2', 'popcnt', 'ssse3'}).stem == kind
    assert built.built_library([folder], frozenset({'sse2'})) is None


@X86
def test_a_library_of_other_sources_is_not_taken(tmp_path):
    old = make_folder(tmp_path / 'old', 'sse4', mark='0' * 64)
    new = make_folder(tmp_path / 'new', 'sse4')
    flags = built.X86_KINDS['sse4']
    assert built.built_library([old], flags) is None
    assert built.built_library([tmp_path / 'absent', old, new], flags) == new / 'sse4.so'


def test_cmake_compiles_for_the_kinds_that_are_chosen_from():
    text = (built.FOLDER / 'CMakeLists.txt').read_text(encoding='utf-8')
    assert set(re.findall(r'"(\w+):-march', text)) == set(built.X86_KINDS)
    assert re.search(r'set\(headers (.*?)\)', text).group(1).split() == list(built.HEADERS)
    assert re.search(r'set\(sources (.*?)\)', text).group(1).split() == list(built.SOURCES)


@X86
@pytest.mark.skipif(not (shutil.which('cmake') and shutil.which('g++')), reason='cmake or g++ is missing')
def test_the_built_library_runs_where_there_is_no_compiler(tmp_path):
    folder = tmp_path / 'built'
    kind = 'avx2' if built.X86_KINDS['avx2'] <= built.cpu_flags() else 'sse4'
    subprocess.run(['cmake', '-S', built.FOLDER, '-B', tmp_path / 'build', f'-DCPU_KERNELS={kind}',
                    f'-DCMAKE_INSTALL_PREFIX={tmp_path}', '-DCMAKE_BUILD_TYPE=Release'], check=True)
    subprocess.run(['cmake', '--build', tmp_path / 'build', '--target', 'install'], check=True)
    environment = {**os.environ, 'PATH': '/nowhere', 'CXX': 'none', 'XDG_CACHE_HOME': str(tmp_path / 'cache')}
    result = subprocess.run([sys.executable, '-c', PROGRAM, str(folder)], capture_output=True, text=True, check=False,
                            env=environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ['True', '1']
