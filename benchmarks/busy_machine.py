"""The network on a busy machine: alone, and beside processes that compute without a pause.

OpenMP's threads spin at the end of every operator until all have finished. If one of them has lost its core, the others
waste theirs. Each setting makes the threads of one process wait in another way, or uses fewer; the image is 240x320.
Run: python benchmarks/busy_machine.py [--beside 1] [--seconds 6] [--checkpoint FILE_OR_NAME] [--json]
"""
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

#: Stands for the number of threads that the node chooses: fewer while other programs compute.
SHARING = -1
#: For each setting the environment variables of the process, and the threads of torch (0: its own choice).
SETTINGS: dict[str, tuple[dict[str, str], int]] = {
    'default': ({}, 0),
    'GOMP_SPINCOUNT=30000': ({'GOMP_SPINCOUNT': '30000'}, 0),
    'GOMP_SPINCOUNT=3000': ({'GOMP_SPINCOUNT': '3000'}, 0),
    'OMP_WAIT_POLICY=PASSIVE': ({'OMP_WAIT_POLICY': 'PASSIVE'}, 0),
    'one thread': ({}, 1),
    'the node': ({}, SHARING),
}
_BUSY = 'import numpy\nwhile True: numpy.ones(100000).sum()'
_MEASURED = '''
import statistics, sys, time
import numpy as np
import torch
from rsgmamba_ros.network.shipped import checkpoint_path
from rsgmamba_ros.ops.cpu.sharing import CpuSharing
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.vocabulary.images import BundleSlot, ImageBundle, Modality, Presence, StampedImage

threads, seconds, name = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
if threads > 0:
    torch.set_num_threads(threads)
sharing = CpuSharing() if threads < 0 else None
segmenter = Segmenter(checkpoint_path(name, Modality.DEPTH), device='cpu')
segmenter.warm_up()
rng = np.random.default_rng(0)
rgb = rng.integers(0, 255, (240, 320, 3), dtype=np.uint8)
depth = rng.integers(1000, 5000, (240, 320), dtype=np.uint16)
times, end, stamp = [], time.monotonic() + seconds + 2, 0
while time.monotonic() < end or len(times) < 5:
    if sharing is not None:
        sharing.update()
    stamp += 33_000_000
    slots = {modality: BundleSlot(Presence.PRESENT, StampedImage(modality, stamp, stamp, pixels, encoding), 0.0, 0.0)
             for modality, pixels, encoding in ((Modality.RGB, rgb, 'rgb8'), (Modality.DEPTH, depth, '16UC1'))}
    start = time.perf_counter()
    segmenter.segment(ImageBundle(Modality.RGB, slots, stamp))
    if time.monotonic() > end - seconds:  # the node has looked at the load by then
        times.append(time.perf_counter() - start)
print(1e3 * statistics.median(times))
'''


def measure(setting: str, *, beside: int, seconds: float, checkpoint: str) -> float:
    """Median time from image to label map, ms, while `beside` other processes compute."""
    variables, threads = SETTINGS[setting]
    others = [subprocess.Popen([sys.executable, '-c', _BUSY]) for _ in range(beside)]
    try:
        done = subprocess.run([sys.executable, '-c', _MEASURED, str(threads), str(seconds), checkpoint], check=True,
                              stdout=subprocess.PIPE, text=True, env={**os.environ, **variables})
    finally:
        for other in others:
            other.kill()
            other.wait()
    return float(done.stdout)


def main() -> None:
    """Print one line for each setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--beside', type=int, default=1, help='number of other processes that compute')
    parser.add_argument('--seconds', type=float, default=6.0, help='of each measurement')
    parser.add_argument('--checkpoint', default='nano_synthetic_depth', help='a file, or the name of a shipped network')
    parser.add_argument('--json', action='store_true')
    options = parser.parse_args()
    figures = {setting: [measure(setting, beside=beside, seconds=options.seconds, checkpoint=options.checkpoint)
                         for beside in (0, options.beside)] for setting in SETTINGS}
    if options.json:
        print(json.dumps(figures, indent=1))
        return
    print(f'| | alone, ms | beside {options.beside}, ms |\n|---|--:|--:|')
    for setting, (alone, busy) in figures.items():
        print(f'| {setting} | {alone:.0f} | {busy:.0f} |')


if __name__ == '__main__':
    main()
