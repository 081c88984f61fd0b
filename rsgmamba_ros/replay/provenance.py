"""What results were made of and on: hashes of bag, weights and configuration, versions, machine."""
from __future__ import annotations

from collections.abc import Mapping
import hashlib
from importlib.metadata import PackageNotFoundError, version
import json
import os
from pathlib import Path
import platform
import sys

#: The part of a bag's file that goes into its fingerprint: this many blocks of this many bytes, evenly spread.
_BLOCKS, _BLOCK_BYTES = 64, 65536

_PACKAGES = ('rsgmamba_ros', 'torch', 'numpy', 'opencv-python-headless', 'rosbags')


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open('rb') as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def bag_fingerprint(path: str | Path, *, whole: bool = False) -> str:
    """Tell bags apart without reading gigabytes: SHA-256 over names, sizes and 4 MiB spread over each file.

    Args:
        path: a bag's folder or file.
        whole: hash all bytes instead; takes as long as reading the bag.
    """
    path = Path(path)
    files = sorted(item for item in path.iterdir() if item.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f'{file.name} {size}\n'.encode())
        if whole or size <= _BLOCKS * _BLOCK_BYTES:
            digest.update(file_sha256(file).encode())
            continue
        with file.open('rb') as stream:
            for block in range(_BLOCKS):
                stream.seek(block * (size - _BLOCK_BYTES) // (_BLOCKS - 1))
                digest.update(stream.read(_BLOCK_BYTES))
    return digest.hexdigest()


def config_sha256(config: Mapping[str, object]) -> str:
    """SHA-256 of a configuration, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()


def software() -> dict[str, str]:
    """Versions of Python and of the packages that decide the result."""
    found = {'python': platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = 'not installed'
    return found


def machine() -> dict[str, str | int | None]:
    """What the results were made on: system, processor, cores, and the threads and GPU of torch where it is loaded."""
    described: dict[str, str | int | None] = {
        'system': platform.platform(), 'processor': _processor(), 'cores': os.cpu_count()}
    torch = sys.modules.get('torch')  # a sync-only replay does without, and must not load it for this
    if torch is not None:
        described['torch_threads'] = torch.get_num_threads()
        described['gpu'] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return described


def _processor() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(':')[2].strip() for line in lines if line.startswith('model name')),
                platform.processor() or platform.machine())
