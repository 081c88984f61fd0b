"""The benchmark of a busy machine runs, and leaves no process behind."""
import psutil
import pytest


@pytest.fixture(scope='module')
def script(load_benchmark):
    return load_benchmark('busy_machine')


@pytest.mark.parametrize('setting', ['one thread', 'the node'])
def test_a_setting_is_measured_and_the_busy_processes_end(script, setting):
    figure = script.measure(setting, beside=1, seconds=0.1, checkpoint='nano_synthetic_depth')
    assert figure > 0
    assert not [child for child in psutil.Process().children() if 'numpy.ones' in ' '.join(child.cmdline())]
