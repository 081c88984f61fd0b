"""The benchmark of the replay runs. Its times are checked on an idle machine only; its memory is the same anywhere."""

import pytest


@pytest.fixture(scope='module')
def script(load_benchmark):
    return load_benchmark('replay')


def test_every_figure_is_measured_and_printed(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, 'HEIGHT', 120)
    monkeypatch.setattr(script, 'WIDTH', 160)
    monkeypatch.setattr(script, 'ROUNDS', 1)
    results = script.run(tmp_path, 0.5, None)
    assert results['rosbags']['share'] > 0
    assert results['compressed']['realtime_factor'] > 0
    assert max(results[name]['peak_mib'] for name in ('memory', 'memory_of_five_times')) < 400
    assert 'share of rosbags alone' in script.table(results)
