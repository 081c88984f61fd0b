import os
import subprocess
import sys
import time

import pytest
import torch

from rsgmamba_ros.ops.cpu import sharing as cpu_sharing
from rsgmamba_ros.ops.cpu import threads as cpu_threads
from rsgmamba_ros.ops.cpu.sharing import CpuSharing, LOOKS_BEFORE_RISE, read_cpu_times


class Machine:
    """Cores of which others use a part, and a clock."""

    def __init__(self, monkeypatch, cores: int):
        monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(cores)), raising=False)
        self.seen: list[int] = []
        monkeypatch.setattr(cpu_threads, 'use_threads', self.seen.append)
        self.now_s = self.busy_s = self.own_s = 0.0
        self.sharing = CpuSharing(wanted=cores, read=lambda: (self.busy_s, self.own_s), clock=lambda: self.now_s)

    def pass_second(self, *, others: float, own: float = 0.5) -> int:
        self.now_s += 1
        self.busy_s += others + own
        self.own_s += own
        self.sharing.update()
        return self.sharing.threads


@pytest.mark.parametrize('others, threads', [(0, 4), (0.3, 4), (0.5, 3), (1, 3), (2.5, 1), (4, 1)])
def test_others_cores_are_left_to_them(monkeypatch, others, threads):
    assert Machine(monkeypatch, 4).pass_second(others=others, own=4 - others) == threads


def test_a_core_is_taken_again_only_when_it_stays_free(monkeypatch):
    machine = Machine(monkeypatch, 2)
    assert [machine.pass_second(others=others) for others in (1, 0, 1, 0, 0)] == [1] * 5
    assert [machine.pass_second(others=0) for _ in range(LOOKS_BEFORE_RISE)][-1] == 2
    assert machine.seen == [1, 2]  # it is set only where it changes


def test_it_looks_once_a_second_and_goes_on_where_nothing_can_be_read(monkeypatch):
    machine = Machine(monkeypatch, 2)
    machine.now_s, machine.busy_s = 0.5, 1.0
    assert not machine.sharing.update()
    blind = CpuSharing(wanted=2, read=lambda: None, clock=lambda: machine.now_s)
    machine.now_s += 5
    assert not blind.update() and blind.threads == 2


def test_times_cannot_be_read_where_there_is_no_proc(monkeypatch, tmp_path):
    monkeypatch.setattr(cpu_sharing, '_STAT', tmp_path / 'stat')
    assert read_cpu_times() is None
    (tmp_path / 'stat').write_text('cpu  1 2 3 four\ncpu0 1 x\n')
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: {0}, raising=False)
    assert read_cpu_times() is None


@pytest.mark.skipif(read_cpu_times() is None, reason='reads /proc/stat')
def test_beside_processes_that_never_pause_one_thread_is_left():
    before, cores = torch.get_num_threads(), len(os.sched_getaffinity(0))
    others = [subprocess.Popen([sys.executable, '-c', 'while True: pass']) for _ in range(2 * cores)]
    try:
        sharing = CpuSharing(wanted=max(cores, 2))
        end = time.monotonic() + 30
        while sharing.threads > 1 and time.monotonic() < end:
            time.sleep(0.1)
            sharing.update()
        assert sharing.threads == torch.get_num_threads() == 1
    finally:
        for other in others:
            other.kill()
            other.wait()
        torch.set_num_threads(before)
