"""The Triton kernels' output and gradients against the definition in float64.

The same tests run on a GPU at the real block sizes, and in Triton's interpreter (slow, so with small blocks) where
TRITON_INTERPRET=1 is set; elsewhere one test starts them so, where triton is installed.
"""
from importlib.util import find_spec
import os
from pathlib import Path
import subprocess
import sys

import pytest
import torch

from rsgmamba_ros.ops.selective_scan import triton as selective_scan_triton
from rsgmamba_ros.ops.selective_scan.contract import selective_scan

INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'
DEVICE = torch.device('cuda' if torch.cuda.is_available() and not INTERPRETED else 'cpu')
REASON = selective_scan_triton.unavailable_reason(DEVICE)
on_triton = pytest.mark.skipif(REASON is not None, reason=f'triton: {REASON}')
NAMES = ('output', 'u', 'delta', 'A', 'B', 'C', 'D', 'delta_bias')
# float32: sums of a few hundred products, fast exponentials. Half precision: the rounding of outputs, 8 or 11 bits.
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}
#: batch, groups, channels of a group, states, length: one step, and round one, and over several chunks and blocks.
SIZES = {
    'gpu': [(batch, groups, channels, states, length) for batch, groups in ((2, 1), (1, 4)) for channels in (5, 40)
            for states in (1, 2, 3) for length in (1, 63, 64, 65, 200)],
    'interpreter': [(1, 1, 1, 1, 1), (2, 1, 5, 1, 7), (1, 4, 2, 1, 8), (1, 2, 3, 2, 9), (1, 1, 3, 3, 25),
                    (1, 4, 5, 1, 12)],
}['interpreter' if INTERPRETED else 'gpu']


@pytest.fixture(autouse=True)
def small_blocks_in_the_interpreter(monkeypatch):
    if INTERPRETED:
        monkeypatch.setattr(selective_scan_triton, 'CHUNK', 8)
        monkeypatch.setattr(selective_scan_triton, 'ROWS', 4)


def random_inputs(sizes, dtype):
    batch, groups, channels, states, length = sizes
    dim = groups * channels
    generator = torch.Generator().manual_seed(sum(sizes))
    def normal(*shape):
        return torch.randn(shape, generator=generator)
    return [normal(batch, dim, length).to(dtype), normal(batch, dim, length).to(dtype),
            -2 * torch.rand((dim, states), generator=generator), normal(batch, groups, states, length).to(dtype),
            normal(batch, groups, states, length).to(dtype), normal(dim), normal(dim)]


def results(backend, tensors, softplus, *, device, dtype=None):
    """Output and every gradient, on the CPU; None for what is not given."""
    leaves = [None if tensor is None else tensor.to(device, dtype).requires_grad_() for tensor in tensors]
    *given, bias = leaves
    output = selective_scan(*given, delta_bias=bias, delta_softplus=softplus, backend=backend)
    weights = torch.linspace(-1, 1, output.numel()).view(output.shape)
    weights = weights.to(tensors[0].dtype).to(output)  # the same in both, though rounded
    output.backward(weights)
    gradients = (None if leaf is None else torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
                 for leaf in leaves)
    return [None if tensor is None else tensor.detach().cpu() for tensor in (output, *gradients)]


def assert_agrees_with_the_definition(tensors, softplus, dtype):
    expected = results('reference', tensors, softplus, device='cpu', dtype=torch.float64)
    found = results('triton', tensors, softplus, device=DEVICE)
    for name, result, reference, tensor in zip(NAMES, found, expected, (tensors[0], *tensors)):
        assert (result is None) == (reference is None), name
        if result is not None:
            assert result.dtype == tensor.dtype, name
            assert result.isfinite().all(), name
            scale = reference.abs().max().clamp_min(1e-2)
            error = ((result.double() - reference).abs().max() / scale).item()
            assert error <= TOLERANCE[dtype], f'{name} is off by {error:.1e} of its range'


@pytest.mark.parametrize('sizes', SIZES, ids=str)
@on_triton
def test_output_and_gradients_agree_with_the_definition(sizes):
    assert_agrees_with_the_definition(random_inputs(sizes, torch.float32), True, torch.float32)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('sizes', SIZES[-2:], ids=str)
@on_triton
def test_gradients_of_half_precision_have_its_dtype_and_are_summed_in_float32(sizes, dtype):
    assert_agrees_with_the_definition(random_inputs(sizes, dtype), True, dtype)


@pytest.mark.parametrize('sizes', SIZES[-2:], ids=str)
@on_triton
def test_gradients_agree_without_softplus(sizes):
    tensors = random_inputs(sizes, torch.float32)
    tensors[1], tensors[6] = tensors[1].abs(), tensors[6].abs()
    assert_agrees_with_the_definition(tensors, False, torch.float32)


@pytest.mark.parametrize('missing', [(5,), (6,), (5, 6)], ids=['D', 'delta_bias', 'both'])
@on_triton
def test_gradients_agree_without_skip_or_bias(missing):
    tensors = random_inputs(SIZES[-2], torch.float32)
    tensors = [None if index in missing else tensor for index, tensor in enumerate(tensors)]
    assert_agrees_with_the_definition(tensors, True, torch.float32)


@on_triton
def test_gradients_of_extreme_steps_are_finite_and_agree():
    """Steps from almost nothing to where the state is gone at once."""
    length = 20 if INTERPRETED else 200
    u, delta = torch.ones(1, 4, length), torch.linspace(-120, 120, length).expand(1, 4, length).contiguous()
    A, B = -torch.tensor([[1e-4], [1.0], [16.0], [100.0]]), torch.ones(1, 1, 1, length)
    assert_agrees_with_the_definition([u, delta, A, B, B.clone(), None, None], True, torch.float32)


@on_triton
def test_gradients_of_strided_inputs_agree():
    tensors = random_inputs(SIZES[-1], torch.float32)
    for index in (0, 1, 3, 4):
        tensors[index] = tensors[index].transpose(-1, -2).contiguous().transpose(-1, -2)
    assert_agrees_with_the_definition(tensors, True, torch.float32)


@on_triton
def test_gradients_are_the_same_at_every_run():
    tensors = random_inputs(SIZES[-1], torch.float32)
    first, second = (results('triton', tensors, True, device=DEVICE) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second))


@on_triton
def test_operators_pass_the_library_checks():
    tensors = [tensor.to(DEVICE).requires_grad_() for tensor in random_inputs(SIZES[1], torch.float32)]
    torch.library.opcheck(torch.ops.rsgmamba.triton_scan.default, (*tensors, True),
                          test_utils=('test_schema', 'test_autograd_registration', 'test_faketensor'))
    with torch.no_grad():
        output, starts = torch.ops.rsgmamba.triton_scan(*tensors, True)
    torch.library.opcheck(torch.ops.rsgmamba.triton_scan_backward.default,
                          (output, *(tensor.detach() for tensor in tensors), starts, True),
                          test_utils=('test_schema', 'test_faketensor'))


@pytest.mark.skipif(INTERPRETED, reason='this is the interpreter')
@pytest.mark.skipif(DEVICE.type == 'cuda', reason='the tests above ran on a GPU')
@pytest.mark.skipif(find_spec('triton') is None, reason='the package triton is not installed')
def test_interpreted_kernels_pass_the_tests_above(project_root):
    run = subprocess.run([sys.executable, '-m', 'pytest', '-q', str(Path(__file__))], capture_output=True, text=True,
                         cwd=project_root, env={**os.environ, 'TRITON_INTERPRET': '1'})
    assert run.returncode == 0, run.stdout[-4000:]
