"""Every backend against the definition: output and every gradient, at odd sizes."""
import pytest
import torch

from rsgmamba_ros.ops.selective_scan.contract import BACKENDS, choose_backend, selective_scan, selective_scan_map
from rsgmamba_ros.vocabulary.errors import BackendUnavailableError

CPU = torch.device('cpu')
NAMES = ('output', 'u', 'delta', 'A', 'B', 'C', 'D', 'delta_bias')
MAP_NAMES = ('output', 'u', 'projected', 'dt_weight', 'dt_bias', 'A', 'D')
# float32: sums of a few hundred products in another order. bfloat16: 8 bits of mantissa on inputs and outputs.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


def backend_cases():
    """Backends that run here; the others marked with the reason."""
    cases = []
    for name, module in BACKENDS.items():
        reason = module.unavailable_reason(CPU)
        if name != 'reference':
            cases.append(pytest.param(name, marks=pytest.mark.skipif(reason is not None, reason=f'{name}: {reason}')))
    return cases


every_backend = pytest.mark.parametrize('backend', backend_cases())


def sequence_inputs(batch, groups, channels, states, length, dtype):
    generator = torch.Generator().manual_seed(batch + 10 * groups + 100 * channels + length)
    def normal(*shape):
        return torch.randn(shape, generator=generator)
    dim = groups * channels
    tensors = [normal(batch, dim, length).to(dtype), normal(batch, dim, length).to(dtype),
               -2 * torch.rand((dim, states), generator=generator), normal(batch, groups, states, length).to(dtype),
               normal(batch, groups, states, length).to(dtype), normal(dim), normal(dim)]
    return [tensor.requires_grad_() for tensor in tensors]


def sequence_results(backend, sizes, dtype):
    *tensors, bias = sequence_inputs(*sizes, dtype)
    output = selective_scan(*tensors, delta_bias=bias, backend=backend)
    (output.float() * torch.linspace(-1, 1, output.numel()).view(output.shape)).sum().backward()
    return [output.detach(), *(gradient(tensor) for tensor in (*tensors, bias))]


def map_results(backend, sizes, dtype):
    batch, height, width, channels, states, rank = sizes
    generator = torch.Generator().manual_seed(sum(sizes))
    def normal(*shape):
        return torch.randn(shape, generator=generator)
    tensors = [normal(batch, height, width, channels).to(dtype),
               normal(batch, height, width, 4, rank + 2 * states).to(dtype), normal(4, channels, rank),
               normal(4, channels), -2 * torch.rand((4, channels, states), generator=generator), normal(4, channels)]
    for tensor in tensors:
        tensor.requires_grad_()
    output = selective_scan_map(*tensors, backend=backend)
    (output.float() * torch.linspace(-1, 1, output.numel()).view(output.shape)).sum().backward()
    return [output.detach(), *(gradient(tensor) for tensor in tensors)]


def gradient(tensor):
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad  # of one step, A has none


def assert_agree(names, results, expected, tolerance):
    for name, result, reference in zip(names, results, expected, strict=True):
        scale = reference.float().abs().max().clamp_min(1e-2)
        error = ((result.float() - reference.float()).abs().max() / scale).item()
        assert error <= tolerance, f'{name} is off by {error:.1e} of its range'
        assert result.dtype == reference.dtype, name


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('sizes', [(2, 4, 33, 1, 37), (1, 2, 64, 2, 65), (1, 1, 5, 7, 33), (2, 3, 31, 16, 19),
                                   (1, 4, 96, 4, 2), (3, 1, 1, 1, 1)], ids=str)
@every_backend
def test_backend_agrees_with_the_definition_in_output_and_gradients(backend, sizes, dtype):
    expected = sequence_results('reference', sizes, dtype)
    assert_agree(NAMES, sequence_results(backend, sizes, dtype), expected, TOLERANCE[dtype])


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('sizes', [(2, 5, 7, 33, 1, 3), (1, 8, 9, 64, 4, 4), (1, 1, 13, 3, 2, 1), (2, 7, 1, 40, 16, 5)],
                         ids=str)
@every_backend
def test_scan_of_a_map_agrees_with_the_definition_in_output_and_gradients(backend, sizes, dtype):
    expected = map_results('reference', sizes, dtype)
    assert_agree(MAP_NAMES, map_results(backend, sizes, dtype), expected, TOLERANCE[dtype])


@every_backend
def test_extreme_steps_stay_finite_and_agree(backend):
    u, delta = torch.ones(1, 4, 50), torch.linspace(-120, 120, 50).expand(1, 4, 50).contiguous()
    A, B = -torch.tensor([[1e-4], [1.0], [16.0], [100.0]]), torch.ones(1, 1, 1, 50)
    expected = selective_scan(u, delta, A, B, B, backend='reference')
    result = selective_scan(u, delta, A, B, B, backend=backend)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-6)


@every_backend
def test_delta_without_softplus_or_bias_agrees(backend):
    u, delta, A, B, C, D, _ = sequence_inputs(2, 1, 8, 2, 21, torch.float32)
    delta = delta.detach().abs()
    expected = selective_scan(u, delta, A, B, C, D, delta_softplus=False, backend='reference')
    result = selective_scan(u, delta, A, B, C, D, delta_softplus=False, backend=backend)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


def test_definition_has_the_right_gradients_by_finite_differences():
    tensors = [tensor.detach().double().requires_grad_() for tensor in sequence_inputs(1, 2, 2, 2, 5, torch.float32)]
    def scan(u, delta, A, B, C, D, bias):
        return selective_scan(u, delta, A, B, C, D, delta_bias=bias, backend='reference')
    assert torch.autograd.gradcheck(scan, tensors)


def test_compiled_operator_passes_the_library_checks():
    reason = BACKENDS['cpp'].unavailable_reason(CPU)
    if reason:
        pytest.skip(reason)
    from rsgmamba_ros.ops.selective_scan.cpp import map_order
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(1, 12, 8, generator=generator, requires_grad=True)
    projected = torch.randn(1, 12, 4, 4, generator=generator, requires_grad=True)
    weights = [torch.randn(shape, generator=generator, requires_grad=True) for shape in ((4, 8, 2), (4, 8))]
    A, D = -torch.rand(4, 8, 1, generator=generator), torch.ones(4, 8)
    torch.library.opcheck(torch.ops.rsgmamba.scan.default,
                          (u, None, projected, *weights, A, D, map_order(3, 4), True, True),
                          test_utils=('test_schema', 'test_autograd_registration', 'test_faketensor'))


class Scan(torch.nn.Module):
    """A network of nothing but a scan, for what compiles or exports networks."""

    def __init__(self, backend):
        super().__init__()
        self.backend = backend

    def forward(self, *tensors):
        """See `selective_scan_map`."""
        return selective_scan_map(*tensors, backend=self.backend)


def map_inputs():
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(shape, generator=generator) for shape in (
        (1, 3, 5, 8), (1, 3, 5, 4, 4), (4, 8, 2), (4, 8))]
    return *tensors, -torch.rand(4, 8, 1, generator=generator), torch.ones(4, 8)


@pytest.mark.parametrize('backend', ['auto', 'chunked'])
def test_torch_compile_passes_through_in_one_graph(backend):
    compiled = torch.compile(Scan(backend), fullgraph=True, backend='aot_eager')
    torch.testing.assert_close(compiled(*map_inputs()), Scan(backend)(*map_inputs()))


@pytest.mark.parametrize('backend', ['auto', 'chunked'])
def test_torch_export_passes_through(backend):
    program = torch.export.export(Scan(backend), map_inputs())
    torch.testing.assert_close(program.module()(*map_inputs()), Scan(backend)(*map_inputs()))


def test_auto_takes_an_available_backend():
    assert choose_backend('auto', 'cpu') in BACKENDS


def test_asking_for_a_missing_backend_is_an_error():
    with pytest.raises(BackendUnavailableError, match='known'):
        choose_backend('fastest', 'cpu')


def test_shapes_that_do_not_fit_are_refused():
    u, delta, A, B, C, D, _ = sequence_inputs(1, 2, 4, 1, 5, torch.float32)
    with pytest.raises(ValueError, match='shapes do not fit'):
        selective_scan(u, delta[..., :-1], A, B, C, D)
