"""The benchmarks of the whole node run: its overhead, and a short soak under every kind of fault."""
import json
import os
from pathlib import Path
import subprocess
import sys

import pytest

pytest.importorskip('rclpy', reason='ROS is not here')

FOLDER = Path(__file__).resolve().parents[2] / 'benchmarks'
SOAK_S = 45


def run(script, *options, domain):
    environment = {**os.environ, 'ROS_DOMAIN_ID': str(domain)}
    result = subprocess.run([sys.executable, str(FOLDER / script), *options, '--json'], capture_output=True, text=True,
                            env=environment, check=False)
    assert result.stdout, result.stderr
    # DDS writes to the standard output, too, before the figures.
    return result.returncode, json.loads(result.stdout[result.stdout.index('{\n'):])


@pytest.fixture
def domain():
    """Not that of the other tests: the scripts use names without a namespace."""
    return 101 + os.getpid() % 100


@pytest.mark.timeout(1800)
def test_a_soak_under_random_faults_finds_no_problem(domain):
    status, counts = run('soak.py', '--seconds', str(SOAK_S), domain=domain)
    assert counts['problems'] == []
    assert status == 0
    assert sum(counts['faults'].values()) >= 2 and counts['pairs'] > 0
    assert counts['wrong'].get('unreported', 0) == 0


@pytest.mark.timeout(600)
def test_the_overhead_of_the_node_is_measured(domain):
    _, figures = run('node_overhead.py', '--seconds', '3', '--size', '48x64', domain=domain)
    assert figures['total']['p50_ms'] > figures['less the network']['p50_ms'] > 0
    assert figures['less the network']['p50_ms'] > figures['less the segmenter']['p50_ms'] > 0


@pytest.mark.timeout(600)
def test_the_share_of_lost_images_is_measured(load_benchmark):
    import rclpy

    script = load_benchmark('transport')
    rclpy.init()
    try:
        row = script.measure(script.ROWS[-1], seconds=1.0, height=48, width=64, hz=30.0)
    finally:
        rclpy.try_shutdown()
    assert row.published > 0 and row.lost < 0.5  # small images get through
