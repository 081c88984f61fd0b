"""Exported graphs against the network in eager mode."""
import pytest
import torch

from rsgmamba_ros.network.export import compare, export_onnx, export_program, onnx_runner, program_runner
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.vocabulary.errors import ConfigError

# The smallest network with every part: an export's time goes with the number of operators.
SIZE = {'dims': (8, 8, 16, 16), 'depths': (1, 1, 1, 1), 'decoder_width': 8}


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(0)
    return create_network('nano', classes=4, **SIZE).eval()


@pytest.fixture(scope='module')
def images():
    return [torch.randn(1, 2, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]


def assert_parity(parity):
    assert parity.images == 3
    assert parity.label_agreement >= 0.999
    assert parity.logit_difference < 1e-4  # float32, another order of the scan's products
    assert parity.reliability_difference < 1e-5


@pytest.mark.parametrize('case', ['both', 'auxiliary'])
def test_program_agrees_with_eager_mode(network, images, case, tmp_path):
    torch.export.save(export_program(network, case, 32, 32), tmp_path / 'network.pt2')
    assert_parity(compare(network, case, program_runner(tmp_path / 'network.pt2'), images))
    # The network itself stays as it was.
    assert network.decoder.blocks[0].op.scan_backend == 'auto'
    assert next(network.parameters()).requires_grad


@pytest.mark.filterwarnings('ignore::FutureWarning', 'ignore::DeprecationWarning')
@pytest.mark.parametrize('case', ['both', 'rgb'])
def test_onnx_agrees_with_eager_mode(network, images, case, tmp_path):
    for name in ('onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(name)
    path = tmp_path / 'network.onnx'
    export_onnx(network, case, 32, 32, path=path, metadata={'labels': '["a"]'})
    assert_parity(compare(network, case, onnx_runner(path), images))
    assert b'Traceback' not in path.read_bytes() and b'.py' not in path.read_bytes()


def test_unknown_case_is_refused(network):
    with pytest.raises(ConfigError, match='unknown availability case'):
        export_program(network, 'neither', 32, 32)
