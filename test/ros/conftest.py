"""A real segmentation node in its own process, and a robot that talks to it over DDS."""
from collections.abc import Callable, Sequence
from contextlib import ExitStack
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image
import torch

from rsgmamba_ros.msg import Reliability
from rsgmamba_ros.network.checkpoint import Checkpoint, save_checkpoint
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.ros import qos
from rsgmamba_ros.ros.conversions import image_message, nanoseconds
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.labels import LabelSpace
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig

SIZE = (48, 64)
PERIOD_S = 0.1
PATIENCE_S = 1.0


class NodeProcess:
    """An executable of the package, its log in a file."""

    def __init__(self, module: str, log: Path, *, namespace: str, parameters: dict, files: Sequence[Path] = (),
                 remappings: Sequence[str] = ()):
        self.log = log
        options = [option for name, value in parameters.items() for option in ('-p', f'{name}:={value}')]
        options += [option for file in files for option in ('--params-file', str(file))]
        options += [option for remapping in remappings for option in ('-r', remapping)]
        with log.open('w') as file:
            self.process = subprocess.Popen(
                [sys.executable, '-m', module, '--ros-args', '-r', f'__ns:={namespace}', *options],
                stdout=file, stderr=subprocess.STDOUT)

    def log_since(self, position: int = 0) -> str:
        return self.log.read_text()[position:]

    def wait_for_log(self, text: str, *, since: int = 0, timeout_s: float = 120.0) -> str:
        end = time.monotonic() + timeout_s
        while text not in self.log_since(since):
            assert self.process.poll() is None, f'the process ended with {self.process.returncode}:\n{self.log_since()}'
            assert time.monotonic() < end, f'{text!r} is not in the log:\n{self.log_since(since)}'
            time.sleep(0.02)
        return self.log_since(since)

    def stop(self) -> int:
        """Interrupt it as Ctrl-C does; the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


class Listener:
    """Keeps the messages of one topic."""

    def __init__(self, message_type: type, topic: str):
        self.node = rclpy.create_node('listener')
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.messages: list = []
        self.node.create_subscription(message_type, topic, self.messages.append, qos.RESULT)

    def wait_for(self, count: int, *, timeout_s: float = 120.0) -> None:
        end = time.monotonic() + timeout_s
        while len(self.messages) < count:
            assert time.monotonic() < end, f'{len(self.messages)} of {count} messages after {timeout_s} s'
            self.executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()


class Robot:
    """Publishes images to a node and keeps what comes back."""

    def __init__(self, namespace: str):
        self.node = rclpy.create_node('robot', namespace=namespace)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.publishers = {modality: self.node.create_publisher(Image, f'{modality}/image', qos.RELIABLE)
                           for modality in (Modality.RGB, Modality.DEPTH)}
        self.label_maps: list[Image] = []
        self.reliabilities: list[Reliability] = []
        self.node.create_subscription(Image, 'segmentation', self.label_maps.append, qos.RESULT)
        self.node.create_subscription(Reliability, 'segmentation/reliability', self.reliabilities.append, qos.RESULT)
        self._shift = 0
        self._random = np.random.default_rng(3)
        self._texture = self._random.integers(20, 230, (*SIZE, 3), dtype=np.uint8)

    def wait_until(self, condition: Callable[[], object], *, timeout_s: float = 30.0, what: str = '') -> None:
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, f'waited {timeout_s} s in vain for {what or condition}'
            self.executor.spin_once(timeout_sec=0.05)

    def wait_for_match(self) -> None:
        self.wait_until(lambda: all(p.get_subscription_count() for p in self.publishers.values()), what='subscribers')
        self.wait_until(lambda: self.node.count_publishers('segmentation/reliability'), what='publishers')

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.executor.spin_once(timeout_sec=left)

    def pixels(self) -> dict[Modality, np.ndarray]:
        """A good image of each modality, with the noise of a real one: a repeated row would count as frozen."""
        self._shift += 1
        noise = self._random.integers(0, 4, self._texture.shape, dtype=np.uint8)
        rgb = np.roll(self._texture, self._shift, axis=1) + noise
        return {Modality.RGB: rgb, Modality.DEPTH: 1000 + 10 * rgb[..., 0].astype(np.uint16)}

    def publish(self, modality: Modality, pixels: np.ndarray, stamp_ns: int, *, encoding: str = '') -> None:
        encoding = encoding or {Modality.RGB: 'rgb8', Modality.DEPTH: '16UC1'}[modality]
        message = image_message(pixels, encoding, stamp_ns=stamp_ns, frame_id=f'{modality}_optical')
        self.publishers[modality].publish(message)

    def stream(self, count: int, *, modalities=(Modality.RGB, Modality.DEPTH), change: Callable | None = None,
               stamp_ns: Callable[[int], int] | None = None) -> list[int]:
        """Publish at 10 Hz, or as fast as the node answers on a machine with more to do; the stamps.

        Args:
            change: takes modality and pixels; gives the pixels and the encoding to publish instead.
            stamp_ns: takes the number of the image; now by default.
        """
        stamps = []
        for index in range(count):
            stamp = time.time_ns() if stamp_ns is None else stamp_ns(index)
            stamps.append(stamp)
            before = len(self.reliabilities)
            for modality, pixels in self.pixels().items():
                if modality not in modalities:
                    continue
                values, encoding = change(modality, pixels) if change else (pixels, '')
                self.publish(modality, values, stamp, encoding=encoding)
            self._await_answer(before)
        return stamps

    def _await_answer(self, before: int) -> None:
        start = time.monotonic()
        while (passed := time.monotonic() - start) < PERIOD_S or (
                len(self.reliabilities) == before and passed < PATIENCE_S):
            self.executor.spin_once(timeout_sec=0.02)

    def answers(self, stamps: list[int]) -> dict[int, dict]:
        """The node's reliability message for each of these stamps, as entries by modality."""
        wanted = set(stamps)
        return {nanoseconds(message.header.stamp): {entry.modality: entry for entry in message.modalities}
                for message in self.reliabilities if nanoseconds(message.header.stamp) in wanted}

    def wait_for_answers(self, stamps: list[int], *, timeout_s: float = 30.0) -> dict[int, dict]:
        self.wait_until(lambda: len(self.answers(stamps)) == len(set(stamps)), timeout_s=timeout_s,
                        what=f'{len(stamps)} answers')
        return self.answers(stamps)

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()


@pytest.fixture(scope='session')
def context():
    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture
def listen(context):
    """Start to listen to topics; it ends with the test."""
    with ExitStack() as stack:
        def start(message_type: type, topic: str) -> Listener:
            listener = Listener(message_type, topic)
            stack.callback(listener.close)
            return listener

        yield start


@pytest.fixture(scope='session')
def checkpoint_file(tmp_path_factory) -> Path:
    """A network of the smallest preset with random weights: enough to see what reaches it."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('checkpoint') / 'random_depth.safetensors'
    labels = LabelSpace(('floor', 'wall', 'person'))
    save_checkpoint(path, Checkpoint(create_network('nano', classes=len(labels)), labels,
                                     PreprocessingConfig(*SIZE)))
    return path


@pytest.fixture(scope='module')
def start_process(tmp_path_factory):
    """Start executables; whatever still runs at the end of the module is ended."""
    started = []

    def start(module: str, *, namespace: str, parameter_files: Sequence[Path] = (), remappings: Sequence[str] = (),
              **parameters) -> NodeProcess:
        log = tmp_path_factory.mktemp('process') / 'log.txt'
        started.append(NodeProcess(module, log, namespace=namespace, parameters=parameters, files=parameter_files,
                                   remappings=remappings))
        return started[-1]

    yield start
    for node in started:
        if node.process.poll() is None:
            os.kill(node.process.pid, signal.SIGKILL)
            node.process.wait()


@pytest.fixture(scope='module')
def segmentation_node(start_process, checkpoint_file) -> NodeProcess:
    """An active node; the tests of a module share it, as a robot would not restart it either.

    Its patience is that of a machine with more to do than these tests: nothing here is about speed.
    """
    node = start_process('rsgmamba_ros.ros.segmentation.node', namespace='/test', autostart=True,
                         checkpoint=checkpoint_file, queue_size=20, diagnostics_period_s=0.2, input_qos='reliable',
                         max_wait_s=0.5, max_delay_s=2.0)
    node.wait_for_log('active')
    return node


@pytest.fixture(scope='module')
def robot(context, segmentation_node):
    robot = Robot('/test')
    robot.wait_for_match()
    yield robot
    robot.close()
