"""The selective scan compiled for this CPU: parallel, vectorised, forward and backward, channels last.

`selective_scan_cpp.cpp` is compiled on first use by the machine's C++ compiler (about two seconds) and kept in the
user's cache folder. It has no dependency but OpenMP, of which it uses torch's own library: a second one would
bring a second pool of spinning threads.

Shapes as in the .cpp file: B batch, K directions, L scan length, C channels of one direction, N states, R rank.
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
from torch import Tensor

from rsgmamba_ros.vocabulary.errors import BackendUnavailableError

SOURCE = Path(__file__).with_suffix('.cpp')
FLAGS = ('-O3', '-march=native', '-std=c++17', '-fPIC', '-shared', '-fopenmp', '-Wno-ignored-attributes')
DTYPES = (torch.float32, torch.bfloat16)
Gradients = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]  # of struct Gradients in the .cpp file


def unavailable_reason(device: torch.device) -> str | None:
    """Why this backend cannot run on the device; None where it can. The first call may compile."""
    if device.type != 'cpu':
        return f'it runs on CPUs, not on {device.type}'
    try:
        _library()
    except BackendUnavailableError as error:
        return str(error)
    return None


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    compiler = shutil.which(os.environ.get('CXX', 'g++')) or shutil.which('c++')
    if compiler is None:
        raise BackendUnavailableError('no C++ compiler is installed (looked for $CXX, g++ and c++)')
    path = _cache_folder() / f'selective_scan_{_fingerprint(compiler)}.so'
    if not path.exists():
        _compile(compiler, path)
    library = ctypes.CDLL(str(path))
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    library.selective_scan_forward.argtypes = [pointer, integer, *[pointer] * 10, integer]
    library.selective_scan_forward.restype = None
    library.selective_scan_backward.argtypes = [pointer, integer, *[pointer] * 17, integer]
    library.selective_scan_backward.restype = None
    return library


def _fingerprint(compiler: str) -> str:
    """What the binary depends on: source, flags, compiler, kind of CPU, OpenMP library."""
    version = subprocess.run([compiler, '--version'], capture_output=True, text=True, check=False).stdout
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        lines = [platform.processor()]
    features = [line for line in lines if line.lower().startswith(('flags', 'features'))][:1] or lines[:1]
    parts = (SOURCE.read_text(encoding='utf-8'), ' '.join(FLAGS), version, platform.machine(), *features,
             str(_openmp_library()))
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


def _compile(compiler: str, path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        built = Path(folder) / path.name
        openmp = _openmp_library()
        if openmp is None:
            commands = [[compiler, *FLAGS, str(SOURCE), '-o', str(built)]]
        else:
            objects = str(built.with_suffix('.o'))
            commands = [[compiler, *FLAGS, '-c', str(SOURCE), '-o', objects],
                        [compiler, '-shared', objects, str(openmp), f'-Wl,-rpath,{openmp.parent}', '-o', str(built)]]
        for command in commands:
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode:
                raise BackendUnavailableError(f'{" ".join(command)} failed: {result.stderr.strip()[:500]}')
        os.replace(built, path)  # in one step: another process may be loading it


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
                   delta_bias: Tensor | None, delta_softplus: bool) -> Tensor:
    """See `rsgmamba_ros.ops.selective_scan.selective_scan`. Transposes to channels last and back."""
    groups, channels = B.shape[1], u.shape[1] // B.shape[1]
    order = torch.arange(u.shape[-1], dtype=torch.int32).expand(groups, -1).contiguous()
    projected = torch.cat((B, C), dim=2).permute(0, 3, 1, 2)
    zeros = u.new_zeros(groups, channels, dtype=torch.float32)
    output, _ = torch.ops.rsgmamba.scan(
        u.transpose(1, 2), delta.to(u.dtype).transpose(1, 2), projected,
        u.new_zeros(groups, channels, 0, dtype=torch.float32),
        zeros if delta_bias is None else delta_bias.float().view(groups, channels),
        A.float().view(groups, channels, -1), zeros if D is None else D.float().view(groups, channels),
        order, delta_softplus, _needs_gradient(u, delta, A, B, C, D, delta_bias))
    return output.transpose(1, 2)


def selective_scan_map(u: Tensor, projected: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor,
                       D: Tensor) -> Tensor:
    """See `rsgmamba_ros.ops.selective_scan.selective_scan_map`. Nothing is transposed or unrolled."""
    batch, height, width, channels = u.shape
    keep = _needs_gradient(u, projected, dt_weight, dt_bias, A, D)
    arguments = (u.view(batch, -1, channels), None, projected.view(batch, height * width, *projected.shape[3:]),
                 dt_weight.float(), dt_bias.float(), A.float(), D.float(), map_order(height, width), True, keep)
    if keep or torch.compiler.is_compiling():
        return torch.ops.rsgmamba.scan(*arguments)[0].view(u.shape)
    return _run_forward(*arguments)[0].view(u.shape)  # spares the dispatcher's 50 us


@lru_cache(maxsize=64)
def map_order(height: int, width: int) -> Tensor:
    """The pixel that each direction visits at each step, (4, height * width), int32; see `cross_scan`."""
    with torch.inference_mode(False):  # training may meet the cached tensor later
        rows = torch.arange(height * width, dtype=torch.int32).view(height, width)
        columns = rows.t().flatten()
        return torch.stack((rows.flatten(), columns, rows.flatten().flip(0), columns.flip(0)))


def _needs_gradient(*tensors: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def _sizes(u: Tensor, delta: Tensor | None, dt_weight: Tensor, A: Tensor, softplus: bool) -> list[int]:
    directions, channels, rank = dt_weight.shape
    return [u.shape[0], directions, u.shape[1], channels, A.shape[2], rank, int(delta is None), int(softplus)]


def _run_forward(u: Tensor, delta: Tensor | None, projected: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor,
                 D: Tensor, order: Tensor, softplus: bool, keep: bool) -> tuple[Tensor, Tensor]:
    if u.dtype not in DTYPES:
        raise ValueError(f'the compiled CPU scan takes float32 or bfloat16, got {u.dtype}')
    library = _library()
    u, projected = u.contiguous(), projected.float().contiguous()
    delta = None if delta is None else delta.contiguous()
    weights = [tensor.contiguous() for tensor in (dt_weight, dt_bias, A, D, order)]
    output, states = _empty_results(u, delta, dt_weight, A, keep)
    library.selective_scan_forward(
        (ctypes.c_int64 * 8)(*_sizes(u, delta, dt_weight, A, softplus)), int(u.dtype == torch.bfloat16), u.data_ptr(),
        None if delta is None else delta.data_ptr(), projected.data_ptr(), *(tensor.data_ptr() for tensor in weights),
        output.data_ptr(), states.data_ptr() if keep else None, torch.get_num_threads())
    return output, states


TILE, BLOCK = 32, 32  # kTile and kBlock of the .cpp file


def _empty_results(u: Tensor, delta: Tensor | None, dt_weight: Tensor, A: Tensor,
                   keep: bool) -> tuple[Tensor, Tensor]:
    directions, channels, states = A.shape
    tiles = (u.shape[1] + TILE - 1) // TILE if keep else 0
    return torch.empty_like(u, memory_format=torch.contiguous_format), u.new_empty(
        u.shape[0], directions, tiles, channels, states, dtype=torch.float32)


_scan = torch.library.custom_op(
    'rsgmamba::scan', _run_forward, mutates_args=(), device_types='cpu',
    schema='(Tensor u, Tensor? delta, Tensor projected, Tensor dt_weight, Tensor dt_bias, Tensor A, Tensor D, '
           'Tensor order, bool softplus, bool keep) -> (Tensor, Tensor)')


@_scan.register_fake
def _(u, delta, projected, dt_weight, dt_bias, A, D, order, softplus, keep):
    return _empty_results(u, delta, dt_weight, A, keep)


def _run_backward(dy: Tensor, u: Tensor, delta: Tensor | None, projected: Tensor, dt_weight: Tensor, dt_bias: Tensor,
                  A: Tensor, D: Tensor, order: Tensor, states: Tensor,
                  softplus: bool) -> Gradients:
    library = _library()
    u, projected, dy = u.contiguous(), projected.float().contiguous(), dy.to(u.dtype).contiguous()
    delta = None if delta is None else delta.contiguous()
    weights = [tensor.contiguous() for tensor in (dt_weight, dt_bias, A, D, order)]
    gradients = _empty_gradients(u, delta, dt_weight, A)
    gradients[0].zero_()
    library.selective_scan_backward(
        (ctypes.c_int64 * 8)(*_sizes(u, delta, dt_weight, A, softplus)), int(u.dtype == torch.bfloat16), u.data_ptr(),
        None if delta is None else delta.data_ptr(), projected.data_ptr(), *(tensor.data_ptr() for tensor in weights),
        dy.data_ptr(), states.data_ptr(), *(tensor.data_ptr() for tensor in gradients), torch.get_num_threads())
    return gradients


def _empty_gradients(u: Tensor, delta: Tensor | None, dt_weight: Tensor, A: Tensor) -> Gradients:
    (batch, length), (directions, channels, states), rank = u.shape[:2], A.shape, dt_weight.shape[2]
    blocks = (channels + BLOCK - 1) // BLOCK
    shapes = (u.shape, (0,) if delta is None else delta.shape, (batch, blocks, length, directions, rank + 2 * states),
              (batch, directions, channels, rank), (batch, directions, channels),
              (batch, directions, channels, states), (batch, directions, channels))
    return tuple(u.new_empty(shape, dtype=torch.float32) for shape in shapes)


_scan_backward = torch.library.custom_op(
    'rsgmamba::scan_backward', _run_backward, mutates_args=(), device_types='cpu',
    schema='(Tensor dy, Tensor u, Tensor? delta, Tensor projected, Tensor dt_weight, Tensor dt_bias, Tensor A, '
           'Tensor D, Tensor order, Tensor states, bool softplus) '
           '-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)')


@_scan_backward.register_fake
def _(dy, u, delta, projected, dt_weight, dt_bias, A, D, order, states, softplus):
    return _empty_gradients(u, delta, dt_weight, A)


def _remember(ctx, inputs, output) -> None:
    u, delta, projected, dt_weight, dt_bias, A, D, order, softplus, keep = inputs
    if not keep:
        raise RuntimeError('the scan ran without keeping its states, so it has no backward')
    ctx.softplus = softplus
    ctx.save_for_backward(u, delta, projected, dt_weight, dt_bias, A, D, order, output[1])


def _differentiate(ctx, dy: Tensor, _) -> tuple[Tensor | None, ...]:
    u, delta, projected, dt_weight, dt_bias, A, D, order, states = ctx.saved_tensors
    du, ddelta, dprojected, dt_weight_parts, bias_parts, A_parts, D_parts = torch.ops.rsgmamba.scan_backward(
        dy, u, delta, projected, dt_weight, dt_bias, A, D, order, states, ctx.softplus)
    return (du.to(u.dtype), None if delta is None else ddelta.to(delta.dtype),
            dprojected.sum(1).to(projected.dtype), dt_weight_parts.sum(0), bias_parts.sum(0), A_parts.sum(0),
            D_parts.sum(0), None, None, None)


_scan.register_autograd(_differentiate, setup_context=_remember)
