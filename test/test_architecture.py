"""The arrows of the architecture, read from the source's import statements."""
import ast
from pathlib import Path
import re

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'rsgmamba_ros'

#: Arrows: a layer imports itself and those before it; siblings in one tuple never import each other.
ORDER = (('vocabulary',), ('ops',), ('network',), ('pipeline',), ('data',), ('evaluation',),
         ('replay', 'demo', 'training'), ('cli', 'ros'))
ALLOWED = {layer: {layer, *(earlier for group in ORDER[:index] for earlier in group)}
           for index, group in enumerate(ORDER) for layer in group}
LARGEST_FOLDER, LONGEST_FILE = 12, 320

#: What only ros/ imports, msg being the generated messages.
ROS_MODULES = {'ament_index_python', 'cv_bridge', 'launch', 'launch_ros', 'message_filters', 'rclpy'}
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob('*.py'))
#: What people read besides: scripts and launch files.
SCRIPTS = sorted(path.relative_to(ROOT) for folder in ('benchmarks', 'launch', 'docs')
                 for path in (ROOT / folder).rglob('*.py'))


def imports(path: Path) -> list[str]:
    """Full names of the modules that a file imports; a relative import begins with a dot."""
    names = []
    for node in ast.walk(ast.parse((PACKAGE / path).read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = '.' * node.level + (node.module or '')
            names += [f'{module}.{alias.name}' for alias in node.names] if module == 'rsgmamba_ros' else [module]
    return names


def layer_of(path: Path) -> str:
    return path.parts[0] if len(path.parts) > 1 else ''


@pytest.mark.parametrize('path', FILES, ids=str)
def test_a_layer_imports_only_those_before_it(path):
    own = layer_of(path)
    if not own:
        return
    layers = {name.split('.')[1] for name in imports(path) if name.startswith('rsgmamba_ros.')}
    assert layers - ALLOWED[own] - ({'msg'} if own == 'ros' else set()) == set()


@pytest.mark.parametrize('path', FILES, ids=str)
def test_imports_are_absolute(path):
    assert [name for name in imports(path) if name.startswith('.')] == []


@pytest.mark.parametrize('path', [path for path in FILES if layer_of(path) != 'ros'], ids=str)
def test_only_the_ros_layer_imports_ros(path):
    roots = {name.split('.')[0] for name in imports(path)}
    assert {root for root in roots if root in ROS_MODULES or root.endswith(('_msgs', '_interfaces'))} == set()


@pytest.mark.parametrize('path', [PACKAGE.relative_to(ROOT) / path for path in FILES] + SCRIPTS, ids=str)
def test_a_file_is_short_enough_to_read(path):
    assert len((ROOT / path).read_text(encoding='utf-8').splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize('folder', sorted({path.parent for path in FILES}), ids=str)
def test_a_folder_is_small_enough_to_list(folder):
    modules = [path for path in FILES if path.parent == folder and path.name != '__init__.py']
    assert len(modules) <= LARGEST_FOLDER


def test_no_test_imports_from_another_test_file():
    found = []
    for path in (ROOT / 'test').rglob('*.py'):
        nodes = ast.walk(ast.parse(path.read_text(encoding='utf-8')))
        found += [f'{path.name}: {node.module}' for node in nodes if isinstance(node, ast.ImportFrom)
                  and (node.module or '').startswith('test.') and '.test_' in (node.module or '')]
    assert found == []


def test_test_files_have_unique_names():
    names = [path.name for path in (ROOT / 'test').rglob('test_*.py')]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []


@pytest.mark.parametrize('path', [path for path in FILES if path.name != '__init__.py'], ids=str)
def test_a_file_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse((PACKAGE / path).read_text(encoding='utf-8')))


@pytest.mark.parametrize('module', ['pipeline/synchronisation/synchroniser.py', 'pipeline/monitoring/signal_quality.py',
                                    'pipeline/monitoring/health.py',
                                    'vocabulary/images.py'])
def test_what_runs_without_the_network_does_not_import_torch(module):
    assert 'torch' not in {name.split('.')[0] for name in imports(Path(module))}


def test_every_executable_has_its_module():
    listed = re.search(r'set\(executables(.*?)\)', (ROOT / 'CMakeLists.txt').read_text(), re.DOTALL).group(1)
    for module in re.findall(r'"\w+=([\w.]+)"', listed):
        path = PACKAGE / (module.replace('.', '/') + '.py')
        assert path.is_file()
        assert 'def main(' in path.read_text(encoding='utf-8')


def test_no_python_folder_hides_a_generated_module():
    assert [name for name in ('msg', 'srv', 'action') if (PACKAGE / name).exists()] == []
