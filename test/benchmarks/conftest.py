from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope='session')
def load_benchmark(project_root: Path) -> Iterator[Callable[[str], ModuleType]]:
    """A function that imports a file of benchmarks/ by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(project_root / 'benchmarks')  # as for a script: one may import another one
        yield import_module
