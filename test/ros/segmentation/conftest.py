"""Nodes in the test's own process, each with a peer; closed at the test's end."""
import pytest

from test.ros.segmentation.bench import Bench


@pytest.fixture
def bench(context, checkpoint_file, request):
    """Makes a `Bench` in a namespace of the test's name, from the node's parameters."""
    benches = []

    def make(**parameters):
        namespace = '/' + request.node.name.split('[')[0]
        benches.append(Bench(namespace, **{'checkpoint': str(checkpoint_file), **parameters}))
        return benches[-1]

    yield make
    for one in benches:
        one.close()
