"""How fast a network is on this machine: one case at a time, each in a process of its own.

In a new process the peak memory is that of the case alone, and no caches or threads of another case are left.
"""
from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
import multiprocessing
import resource
import time

import numpy as np
import torch

from rsgmamba_ros.network.availability import availability_cases
from rsgmamba_ros.network.checkpoint import Checkpoint
from rsgmamba_ros.network.encoders.vss_block import SelectiveScan2D
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.network.rsgmamba import RSGMamba
from rsgmamba_ros.pipeline.execution.engine import Engine
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.vocabulary.images import BundleSlot, ImageBundle, Modality, Presence, StampedImage
from rsgmamba_ros.vocabulary.labels import LabelSpace
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig

MAX_SECONDS = 20.0  # for the repetitions of one case
WARM_UPS = 2

#: Features and projected parameters of a selective scan -> its result.
Scan = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class SpeedCase:
    """What to measure.

    Attributes:
        preset: a key of PRESETS.
        height: of the images, pixels; padded to a multiple of 32 for the network.
        width: of the images, pixels; padded likewise.
        backend: of the scans, or `auto`.
        precision: `float32` or `bfloat16`.
        modalities: which of (RGB, auxiliary) are available.
        through: `network` (tensors in, logits out), `compiled` (the same by torch.compile), or `segmenter` (images in,
            label map out).
        classes: of the network.
        device: a torch device.
        threads: of torch; 0 for torch's own choice.
        repeats: largest number of timed bundles, after the warm-up.
    """

    preset: str
    height: int
    width: int
    backend: str = 'auto'
    precision: str = 'float32'
    modalities: tuple[bool, bool] = (True, True)
    through: str = 'network'
    classes: int = 40
    device: str = 'cpu'
    threads: int = 0
    repeats: int = 30


@dataclass(frozen=True)
class Speed:
    """The result of one case.

    Attributes:
        p50_ms: median time of one bundle, milliseconds.
        p95_ms: 95th percentile.
        bundles_per_s: 1000 / mean.
        scan_share: share of the time in scans, 0..1; None where the parts cannot be timed: compiled, or a CUDA graph.
        peak_memory_mb: of the process (CPU: resident set; CUDA: allocated on the device).
        repeats: how many bundles were timed.
    """

    p50_ms: float
    p95_ms: float
    bundles_per_s: float
    scan_share: float | None
    peak_memory_mb: float
    repeats: int


def measure_in_new_process(case: SpeedCase) -> Speed:
    """Measure a case in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('spawn')) as pool:
        return pool.submit(measure, case).result()


@torch.inference_mode()
def measure(case: SpeedCase) -> Speed:
    """Measure a case in this process.

    Raises:
        BackendUnavailableError: backend, precision or device are not available here.
    """
    if case.threads:
        torch.set_num_threads(case.threads)
    torch.manual_seed(0)
    network = create_network(case.preset, classes=case.classes)
    network.set_scan_backend(case.backend)
    engine, step = _STEPS[case.through](network, case)
    scan_seconds = _time_scans(engine.network, case.device) if _has_parts(case) else []
    for _ in range(WARM_UPS):
        step()
    scan_seconds.clear()
    times: list[float] = []
    end = time.perf_counter() + MAX_SECONDS
    while len(times) < case.repeats and (not times or time.perf_counter() < end):
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    milliseconds = 1e3 * np.array(times)
    return Speed(float(np.percentile(milliseconds, 50)), float(np.percentile(milliseconds, 95)),
                 float(1e3 / milliseconds.mean()), sum(scan_seconds) / sum(times) if scan_seconds else None,
                 _peak_memory_mb(case.device), len(times))


def _has_parts(case: SpeedCase) -> bool:
    """Whether the scans can be timed: within a compiled network or a CUDA graph there is no single one."""
    return case.through == 'network' or (case.through == 'segmenter' and not case.device.startswith('cuda'))


def _time_scans(network: RSGMamba, device: str) -> list[float]:
    """Let every scan append its time to the list that is returned."""
    seconds: list[float] = []

    def timed(scan: Scan) -> Scan:
        def run(features: torch.Tensor, projected: torch.Tensor) -> torch.Tensor:
            _finish(device)
            begin = time.perf_counter()
            result = scan(features, projected)
            _finish(device)
            seconds.append(time.perf_counter() - begin)
            return result
        return run
    for module in network.modules():
        if isinstance(module, SelectiveScan2D):
            module.scan = timed(module.scan)  # type: ignore[assignment, method-assign]  # replaces the method of one module
    return seconds


def _finish(device: str) -> None:
    if device.startswith('cuda'):
        torch.cuda.synchronize(device)


def _network_step(network: RSGMamba, case: SpeedCase) -> tuple[Engine, Callable[[], None]]:
    engine = Engine(_checkpoint(network, case), case.device, case.precision)
    size = PreprocessingConfig(height=case.height, width=case.width).padded_size
    images = torch.randn(1, 2, 3, *size, generator=torch.Generator().manual_seed(0))
    available = torch.tensor([case.modalities])

    def step() -> None:
        _ = engine.run(images, available).logits
        _finish(case.device)
    return engine, step


def _compiled_step(network: RSGMamba, case: SpeedCase) -> tuple[Engine, Callable[[], None]]:
    engine = Engine(_checkpoint(network, case), case.device, case.precision)
    size = PreprocessingConfig(height=case.height, width=case.width).padded_size
    images = torch.randn(1, 2, 3, *size, generator=torch.Generator().manual_seed(0)).to(engine.device)
    cases = availability_cases(torch.tensor([case.modalities]), engine.modalities, engine.network.modalities)
    compiled = torch.compile(lambda images: engine.network.segment(images, cases).logits, fullgraph=True, dynamic=False)

    def step() -> None:
        compiled(images)
        _finish(case.device)
    return engine, step


def _segmenter_step(network: RSGMamba, case: SpeedCase) -> tuple[Engine, Callable[[], None]]:
    segmenter = Segmenter(_checkpoint(network, case), device=case.device, precision=case.precision)
    rng = np.random.default_rng(0)
    pixels: dict[Modality, tuple[np.ndarray, str]] = {
        Modality.RGB: (rng.integers(0, 255, (case.height, case.width, 3), dtype=np.uint8), 'rgb8'),
        Modality.DEPTH: (rng.integers(500, 5000, (case.height, case.width), dtype=np.uint16), '16UC1')}
    present = [modality for modality, there in zip(pixels, case.modalities) if there]
    stamps = iter(range(0, 10 ** 12, 33_000_000))

    def step() -> None:
        stamp = next(stamps)
        slots = {modality: BundleSlot(Presence.MISSING) for modality in pixels}
        for modality in present:
            image, encoding = pixels[modality]
            image = np.roll(image, 1, axis=0)  # or it would be a frozen camera
            pixels[modality] = image, encoding
            slots[modality] = BundleSlot(Presence.PRESENT, StampedImage(modality, stamp, stamp, image, encoding), 0.0)
        segmenter.segment(ImageBundle(present[0], slots, stamp))
    return segmenter.engine, step


_STEPS = {'network': _network_step, 'compiled': _compiled_step, 'segmenter': _segmenter_step}


def _checkpoint(network: RSGMamba, case: SpeedCase) -> Checkpoint:
    labels = LabelSpace(tuple(f'class {index}' for index in range(case.classes)))
    return Checkpoint(network, labels, PreprocessingConfig(height=case.height, width=case.width))


def _peak_memory_mb(device: str) -> float:
    if device.startswith('cuda'):
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
