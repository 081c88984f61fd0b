import importlib.util
import sys

import pytest


@pytest.fixture(scope='module')
def load_benchmark(project_root):
    """A function that imports a file of benchmarks/ by its name."""
    loaded, folder = [], str(project_root / 'benchmarks')
    sys.path.insert(0, folder)  # as for a script: one may import another one

    def load(name: str):
        spec = importlib.util.spec_from_file_location(f'{name}_benchmark', project_root / 'benchmarks' / f'{name}.py')
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
        loaded.append(spec.name)
        return module

    yield load
    sys.path.remove(folder)
    for name in loaded:
        del sys.modules[name]
