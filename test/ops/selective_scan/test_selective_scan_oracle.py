"""Our definition against mamba_ssm's own `selective_scan_ref`, written independently of it."""
import importlib.util
import sys
import types

import pytest
import torch

from rsgmamba_ros.ops.selective_scan.contract import selective_scan


@pytest.fixture
def oracle(monkeypatch):
    """mamba_ssm's reference, loaded without the CUDA kernels and language models that its package imports."""
    pytest.importorskip('einops', reason='einops is not installed')
    found = importlib.util.find_spec('mamba_ssm')
    if found is None:
        pytest.skip('mamba_ssm is not installed: MAMBA_FORCE_BUILD=TRUE MAMBA_SKIP_CUDA_BUILD=TRUE pip install '
                    '--no-build-isolation --no-deps mamba-ssm einops')
    package = types.ModuleType('mamba_ssm')
    package.__path__ = list(found.submodule_search_locations)
    monkeypatch.setitem(sys.modules, 'mamba_ssm', package)
    norms = types.ModuleType('mamba_ssm.ops.triton.layer_norm')
    norms._layer_norm_fwd = None
    monkeypatch.setitem(sys.modules, norms.__name__, norms)
    if importlib.util.find_spec('selective_scan_cuda') is None:
        monkeypatch.setitem(sys.modules, 'selective_scan_cuda', types.ModuleType('selective_scan_cuda'))
    try:
        module = importlib.import_module('mamba_ssm.ops.selective_scan_interface')
    except ImportError as error:
        pytest.skip(f'mamba_ssm cannot be imported: {error}')
    yield module.selective_scan_ref
    for name in [name for name in sys.modules if name.startswith('mamba_ssm.')]:
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.parametrize('backend', ['reference', 'chunked', 'auto'])
@pytest.mark.parametrize('sizes', [(2, 4, 6, 1, 37), (1, 2, 5, 4, 33), (1, 1, 3, 16, 18)], ids=str)
def test_output_and_gradients_agree_with_mamba_ssm(oracle, backend, sizes):
    batch, groups, channels, states, length = sizes
    dim = groups * channels
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(shape, generator=generator) for shape in (
        (batch, dim, length), (batch, dim, length), (dim, states), (batch, groups, states, length),
        (batch, groups, states, length), (dim,), (dim,))]
    tensors[2] = -tensors[2].exp()
    weights = torch.randn(batch, dim, length, generator=generator)
    results = []
    for scan in (oracle, None):
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        if scan is None:
            output = selective_scan(*leaves[:6], delta_bias=leaves[6], backend=backend)
        else:
            output = scan(*leaves[:6], None, leaves[6], delta_softplus=True)
        (output * weights).sum().backward()
        results.append([output.detach(), *(leaf.grad for leaf in leaves)])
    for expected, result in zip(*results):
        scale = expected.abs().max()
        torch.testing.assert_close(result / scale, expected / scale, rtol=0, atol=1e-5)  # float32 sums in other orders
