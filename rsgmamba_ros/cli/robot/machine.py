"""Is this machine ready: torch, GPU, scan, CPU kernels, checkpoint. Nothing here needs ROS."""
from __future__ import annotations

from pathlib import Path

import torch

from rsgmamba_ros.cli.robot.findings import error, Finding, ok, warn
from rsgmamba_ros.network.checkpoint import load_checkpoint
from rsgmamba_ros.network.shipped import checkpoint_path
from rsgmamba_ros.ops.cpu.built import built_library
from rsgmamba_ros.ops.cpu.library import cpu_library_problem
from rsgmamba_ros.ops.selective_scan.contract import BACKENDS, choose_backend, PREFERENCE
from rsgmamba_ros.vocabulary.errors import BackendUnavailableError, CheckpointError
from rsgmamba_ros.vocabulary.images import Modality

#: Files that show a GPU of NVIDIA, whatever torch can do with it: a desktop's driver, and a Jetson.
_GPU_SIGNS = ('/proc/driver/nvidia/version', '/etc/nv_tegra_release')


def machine_findings(device: str) -> list[Finding]:
    """Look at torch, GPU, scan and kernels.

    Args:
        device: torch device that the node will use; `auto` for CUDA if there is any.
    """
    has_cuda = torch.cuda.is_available()
    kind = ('cuda' if has_cuda else 'cpu') if device == 'auto' else device.partition(':')[0]
    findings = [ok('torch', f'{torch.__version__}, {torch.get_num_threads()} CPU threads')]
    if has_cuda:
        findings.append(ok('GPU', f'{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}'))
    elif any(Path(sign).exists() for sign in _GPU_SIGNS):
        findings.append(warn('GPU', 'this machine has an NVIDIA GPU, but torch has no CUDA',
                             'install a torch with CUDA: docs/gpu.md'))
    else:
        findings.append(ok('GPU', 'none; the network runs on the CPU'))
    return [*findings, _scan(kind), _kernels()]


def _scan(kind: str) -> Finding:
    """Which scan is used, and what would be faster."""
    try:
        used = choose_backend('auto', kind)
    except BackendUnavailableError as problem:
        return error('scan', str(problem), 'choose another device')
    faster = PREFERENCE[:PREFERENCE.index(used)]
    reasons = {name: reason for name in faster if (reason := BACKENDS[name].unavailable_reason(torch.device(kind)))}
    missing = '; '.join(f'{name} would be faster, but {reason}' for name, reason in reasons.items()
                        if not reason.startswith('it runs on'))
    if missing:
        return warn('scan', f'{used}; {missing}', 'docs/gpu.md' if kind == 'cuda' else 'build the package again')
    return ok('scan', f'{used}, the fastest for {kind}')


def _kernels() -> Finding:
    problem = cpu_library_problem()
    if problem:
        return warn('CPU kernels', problem, 'build the package again, or install g++')
    ready = built_library()
    if ready is None:
        return warn('CPU kernels', 'compiled on first use by the compiler of this machine',
                    'build the package again: it compiles them')
    return ok('CPU kernels', f'built with the package, for {ready.stem}')


def checkpoint_finding(name: str, auxiliary: Modality) -> Finding:
    """Look at the network that the node will use.

    Args:
        name: a file, the name of a shipped network, or nothing for the default of the modality.
    """
    try:
        path = checkpoint_path(name, auxiliary)
        checkpoint = load_checkpoint(path)
    except (CheckpointError, OSError) as problem:
        return error('checkpoint', str(problem), 'name a file or a shipped network with checkpoint:=')
    return ok('checkpoint', f'{path.stem}: {len(checkpoint.labels)} classes')
