"""A cv_bridge that cannot be used is said once and left alone."""
import logging
import subprocess
import sys

import pytest

from rsgmamba_ros.ros import foreign_encodings

BROKEN = {'aborts': 'import os\nos.abort()\n', 'raises': 'raise ImportError("built for NumPy 1")\n'}


@pytest.fixture(autouse=True)
def untried():
    cached = (foreign_encodings.cv_bridge_works, foreign_encodings.cv_bridge_problem)
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


@pytest.mark.parametrize('fault', BROKEN)
def test_a_cv_bridge_that_cannot_be_used_is_said_once(fault, tmp_path, monkeypatch, caplog):
    (tmp_path / 'cv_bridge.py').write_text(BROKEN[fault])
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    with caplog.at_level(logging.WARNING):
        assert [foreign_encodings.cv_bridge_works() for _ in range(3)] == [False] * 3
    assert len(caplog.records) == 1
    assert 'cannot be used' in caplog.text and 'NumPy' in caplog.text
    assert 'cv_bridge' not in sys.modules, 'it is tried in another process'


def test_cv_bridge_is_not_imported_before_an_image_needs_it():
    code = 'import sys, rsgmamba_ros.ros.conversions; sys.exit("cv_bridge" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0
