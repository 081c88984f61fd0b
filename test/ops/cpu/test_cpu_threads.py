"""The number of threads, and that the compiled kernels keep to it."""
import os
import re
import subprocess
import sys
from threading import Thread

import pytest
import torch

from rsgmamba_ros.ops.cpu import library as cpu_library
from rsgmamba_ros.ops.cpu import threads as cpu_threads
from rsgmamba_ros.ops.cpu.threads import use_threads
from rsgmamba_ros.vocabulary.errors import ConfigError

#: Prints how many threads the process has gained by running every compiled kernel with the number that it is given.
KERNELS = """
import os, sys
from rsgmamba_ros.ops.cpu.threads import use_threads
import torch
from rsgmamba_ros.ops import decision, layers
from rsgmamba_ros.ops.selective_scan.contract import selective_scan_map

use_threads(int(sys.argv[1]))
maps, weight = torch.ones(1, 16, 16, 32), torch.ones(32)
taps, projected = torch.ones(32, 1, 3, 3), torch.ones(1, 16, 16, 4, 4)
steps, ones = torch.ones(4, 32, 2), torch.ones(4, 32)
scan = [tensor.requires_grad_() for tensor in (maps.clone(), projected, steps, -ones, -ones[:, :, None])]
before = len(os.listdir('/proc/self/task'))
with torch.inference_mode():
    layers.layer_norm(maps, weight, weight, 1e-5)
    layers.depthwise_silu(maps, taps)
    layers.gelu(maps.clone())
    decision.decide(torch.ones(3, 8, 8), (32, 32))
y = selective_scan_map(*scan, ones, backend='cpp')
torch.autograd.backward(y, torch.ones_like(y))
print(len(os.listdir('/proc/self/task')) - before)
"""


@pytest.fixture
def own_choice():
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_zero_is_the_choice_of_torch_also_after_another_number(own_choice, monkeypatch):
    monkeypatch.setattr(cpu_threads, 'OWN_CHOICE', own_choice)
    use_threads(own_choice + 2)
    assert torch.get_num_threads() == own_choice + 2
    use_threads(0)
    assert torch.get_num_threads() == own_choice


def test_a_thread_that_starts_later_computes_with_the_same_number(own_choice):
    use_threads(own_choice + 1)
    seen = []
    thread = Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert seen == [own_choice + 1]


def test_a_negative_number_is_refused():
    with pytest.raises(ConfigError, match='threads is -1'):
        use_threads(-1)


def test_every_parallel_region_of_the_compiled_kernels_takes_the_number_that_it_is_given():
    for name in cpu_library.SOURCES:
        regions = re.findall(r'#pragma omp parallel.*', (cpu_library.FOLDER / name).read_text(encoding='utf-8'))
        assert all('num_threads(threads)' in region for region in regions), name


@pytest.mark.skipif(not os.path.isdir('/proc/self/task'), reason='counts threads in /proc')
def test_compiled_kernels_run_on_as_many_threads_as_torch_is_told():
    if cpu_library.cpu_library_problem():
        pytest.skip(cpu_library.cpu_library_problem())
    # The environment asks for more: it must not count. A process each, since OpenMP keeps the threads that it made.
    environment = {**os.environ, 'OMP_NUM_THREADS': '4'}
    gained = [int(subprocess.run([sys.executable, '-c', KERNELS, str(threads)], env=environment, capture_output=True,
                                 text=True, check=True).stdout) for threads in (1, 3)]
    # Autograd adds threads of its own, the same in both.
    assert gained[1] - gained[0] == 2
