import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from rsgmamba_ros.training.training_log import read_rows

CONFIG = """
auxiliary: depth
synthetic: {{rooms: 2, validation_rooms: 1, cache: {cache}}}
phases: [{{steps: {steps}, batch_size: 4, height: 32, width: 64}}]
# Stochastic depth would draw differently in two processes.
network: {{dims: [8, 8, 8, 8], depths: [1, 1, 1, 1], decoder_width: 8, drop_path: 0.0}}
preprocessing: {{height: 64, width: 96}}
warmup_steps: 1
log_every: 1
save_every: 1
calibration_samples: 2
threads: 1
device: cpu
"""


def start(folder, config, *launcher: str) -> subprocess.Popen:
    command = [sys.executable, *launcher, '-m', 'rsgmamba_ros.cli.main', 'train', str(config), '--out', str(folder)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
                            env={**os.environ, 'OMP_NUM_THREADS': '1'})


def finish(process: subprocess.Popen) -> None:
    try:
        _, errors = process.communicate(timeout=180)
    except subprocess.TimeoutExpired:
        process.terminate()  # torchrun ends its own processes then
        raise
    assert process.returncode == 0, errors[-3000:]


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'config.yaml'
    path.write_text(CONFIG.format(cache=tmp_path / 'cache', steps=3))
    return path


def test_two_processes_give_the_result_of_one(tmp_path, config):
    finish(start(tmp_path / 'one', config))
    finish(start(tmp_path / 'two', config, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2'))
    one, two = (read_rows(tmp_path / run / 'train.csv') for run in ('one', 'two'))
    # The sums of two halves round differently than the sum of the whole; Adam's quotient enlarges it.
    assert two['loss_labels'] == pytest.approx(one['loss_labels'], rel=1e-4)
    first, second = (torch.load(tmp_path / run / 'state.pt', weights_only=True)['network'] for run in ('one', 'two'))
    distance = max(float((first[name] - second[name]).abs().max()) for name in first)
    assert distance < 2e-3, 'three steps at a learning rate of 1e-3'


def test_two_processes_agree_on_gates_and_on_what_is_taught_beside_them(tmp_path):
    part = '{{steps: 2, batch_size: 4, height: 32, width: 64, learns: {}, failures: {{alone: 1}}}}'
    phases = ', '.join(part.format(name) for name in ('all', 'gates', 'segmentation'))
    config = tmp_path / 'config.yaml'
    lines = CONFIG.format(cache=tmp_path / 'cache', steps=1).splitlines()
    kept = [line for line in lines if not line.startswith(('phases', 'network'))]
    head = ['evidence: {simulated: 8, references: 4, queries: 2}', 'head: {epochs: 1, references: [2, 4]}']
    config.write_text('\n'.join([*kept, f'phases: [{phases}]', 'preset: lite', *head]))
    finish(start(tmp_path / 'one', config))
    finish(start(tmp_path / 'two', config, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2'))
    one, two = (read_rows(tmp_path / run / 'train.csv') for run in ('one', 'two'))
    assert two['loss_labels'] == pytest.approx(one['loss_labels'], rel=1e-3)


def test_a_training_killed_at_any_moment_resumes_to_the_same_curve(tmp_path):
    config = tmp_path / 'config.yaml'
    config.write_text(CONFIG.format(cache=tmp_path / 'cache', steps=8))
    finish(start(tmp_path / 'whole', config))
    killed = start(tmp_path / 'killed', config)
    deadline = time.monotonic() + 120
    while not (tmp_path / 'killed' / 'state.pt').exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    finish(start(tmp_path / 'killed', config))
    assert read_rows(tmp_path / 'whole' / 'train.csv') == read_rows(tmp_path / 'killed' / 'train.csv')
