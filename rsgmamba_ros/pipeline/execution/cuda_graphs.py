"""A device's work that is the same for every image, recorded once as a CUDA graph and replayed with one call.

Of one image, launching a network's thousand operators one by one takes longer than computing them: `base` at 480x640 on
an H100 takes a quarter of the time so, see docs/network.md.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
import logging

import numpy as np
import torch
from torch import Tensor

logger = logging.getLogger(__name__)

#: Takes and gives tensors of the device, of fixed shapes; it neither looks at a value nor copies from or to the host.
DeviceFunction = Callable[..., tuple[Tensor, ...]]

#: Runs before the recording: what libraries and compilers make on first use cannot be recorded.
WARM_UPS = 3


@dataclass(frozen=True, eq=False)
class Recording:
    """A recorded function.

    Attributes:
        replay: do the work once more, on the present stream; it reads the inputs that it was recorded with.
        outputs: where each replay leaves its results.
    """

    replay: Callable[[], None]
    outputs: tuple[Tensor, ...]


#: Records a function with its inputs; None where it cannot be.
Recorder = Callable[[DeviceFunction, Sequence[Tensor]], Recording | None]


class CudaGraphRecorder:
    """Records functions on the present CUDA device. After a failure, which is logged, it tries no more.

    The graphs share one pool of memory: they are replayed one after the other, and leave nothing in it but outputs.
    """

    def __init__(self) -> None:
        self.problem: str | None = None
        self._stream: torch.cuda.Stream | None = None
        self._pool: torch.cuda._POOL_HANDLE | None = None

    def __call__(self, function: DeviceFunction, inputs: Sequence[Tensor]) -> Recording | None:
        """See `Recorder`."""
        if self.problem is not None:
            return None
        if self._stream is None:
            self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch states no types for it
        self._warm_up(function, inputs, self._stream)
        try:
            return self._record(function, inputs, self._stream)
        except RuntimeError as error:
            # The end of a recording that failed is an error of its own; the first one is the reason.
            reason = error.__context__ or error
            self.problem = (str(reason).strip() or repr(reason)).splitlines()[0]
            logger.warning('no CUDA graph, operators are launched one by one: %s', self.problem)
            return None

    @staticmethod
    def _warm_up(function: DeviceFunction, inputs: Sequence[Tensor], stream: torch.cuda.Stream) -> None:
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                function(*inputs)
        torch.cuda.current_stream().wait_stream(stream)

    def _record(self, function: DeviceFunction, inputs: Sequence[Tensor], stream: torch.cuda.Stream) -> Recording:
        graph = torch.cuda.CUDAGraph()
        # The outer context restores the stream: where the end of a recording fails, the inner one does not.
        with torch.cuda.stream(stream), torch.cuda.graph(
                graph, pool=self._pool, stream=stream, capture_error_mode='thread_local'):
            outputs = function(*inputs)
        self._pool = graph.pool()
        return Recording(graph.replay, outputs)


class StaticFunction:
    """A function of the device that is called with arrays of the host: staged in pinned memory, recorded if possible.

    Args:
        function: see `DeviceFunction`.
        examples: arrays of the shapes and dtypes that every call will have.
        device: where the function works.
        record: how it is recorded; None to launch its operators at each call.
        received: the function's first results that a call brings to the host; the others stay on the device.

    Attributes:
        remaining: the results of the last call that stayed on the device; the next call may write over them.
    """

    def __init__(self, function: DeviceFunction, examples: Sequence[np.ndarray], device: torch.device, *,
                 record: Recorder | None = None, received: int):
        self._function = function
        self._device = device
        self._received = received
        self.remaining: tuple[Tensor, ...] = ()
        with present(device):
            self._staging = tuple(_pinned(example.shape, _torch_dtype(example), device) for example in examples)
            self._inputs = tuple(torch.empty(staged.shape, dtype=staged.dtype, device=device)
                                 for staged in self._staging)
            self._send(examples)
            self._recording = record(function, self._inputs) if record else None
        self._results: tuple[Tensor, ...] = ()

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """Call the function, and wait for the device once.

        Args:
            arrays: of the examples' shapes and dtypes.

        Returns:
            The results that are brought to the host, as arrays of the caller's own.

        Raises:
            ValueError: an array has another shape than its example.
        """
        with present(self._device):
            self._send(arrays)
            if self._recording is None:
                return self._receive(self._function(*self._inputs))
            self._recording.replay()
            return self._receive(self._recording.outputs)

    def _send(self, arrays: Sequence[np.ndarray]) -> None:
        for array, staged, tensor in zip(arrays, self._staging, self._inputs, strict=True):
            if array.shape != tuple(staged.shape):
                raise ValueError(f'array is {array.shape}; this function was made for {tuple(staged.shape)}')
            np.copyto(staged.numpy(), array)
            tensor.copy_(staged, non_blocking=True)

    def _receive(self, outputs: tuple[Tensor, ...]) -> tuple[np.ndarray, ...]:
        self.remaining, outputs = outputs[self._received:], outputs[:self._received]
        if not self._results:
            self._results = tuple(_pinned(output.shape, output.dtype, self._device) for output in outputs)
        for result, output in zip(self._results, outputs):
            result.copy_(output, non_blocking=True)
        if self._device.type == 'cuda':
            torch.cuda.current_stream().synchronize()
        return tuple(result.numpy().copy() for result in self._results)


def present(device: torch.device) -> AbstractContextManager[object]:
    """Make a CUDA device the present one: kernels that are not torch's own are launched there."""
    return torch.cuda.device(device) if device.type == 'cuda' else nullcontext()


def _pinned(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Memory of the host that a CUDA device reads and writes while the host goes on."""
    return torch.empty(tuple(shape), dtype=dtype, pin_memory=device.type == 'cuda')


def _torch_dtype(array: np.ndarray) -> torch.dtype:
    return torch.from_numpy(np.empty(0, array.dtype)).dtype
