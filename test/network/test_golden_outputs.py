"""Shipped networks give what they gave when they were made: label maps and reliabilities of stored images."""
import importlib.util
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parent / 'golden'
SPEC = importlib.util.spec_from_file_location('golden_update', FOLDER / 'update.py')
assert SPEC is not None and SPEC.loader is not None
golden = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(golden)


@pytest.mark.parametrize('name', golden.NETWORKS)
def test_a_shipped_network_gives_its_golden_outputs(name):
    with np.load(FOLDER / 'inputs.npz') as stored:
        inputs = dict(stored)
    with np.load(FOLDER / f'{name}.npz') as stored:
        expected = dict(stored)

    outputs = golden.golden_outputs(name, inputs)

    # Processors add in different orders, so that a pixel between two classes may go either way.
    assert (outputs['label_map'] == expected['label_map']).mean() > 0.999
    np.testing.assert_allclose(outputs['reliability'], expected['reliability'], atol=2e-3)
    difference = np.abs(outputs['confidence'].astype(int) - expected['confidence'].astype(int))
    assert (difference <= 2).mean() > 0.999
