"""`ros2 launch` runs launch files with its own Python, which has none of our requirements."""
import ast
from importlib.util import find_spec
import re
import subprocess
import sys

import pytest

#: What a ROS installation gives the Python of `ros2`.
ALLOWED = {'ament_index_python', 'launch', 'launch_ros'} | sys.stdlib_module_names
LAUNCH_FILES = ('replay', 'segment')

#: Refuses what is named in the first argument, then reads the launch file in the second one.
READ_WITHOUT = """
import sys
for name in sys.argv[1].split(','):
    sys.modules[name] = None
from launch import LaunchContext
from launch.launch_description_sources import PythonLaunchDescriptionSource
description = PythonLaunchDescriptionSource(sys.argv[2]).get_launch_description(LaunchContext())
print([argument.name for argument in description.get_launch_arguments()])
"""


def imported(path) -> set[str]:
    """Give the top-level name of every module that a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((not node.level and node.module) or '.')
    return {name.partition('.')[0] for name in names}


def test_every_launch_file_is_checked(project_root):
    assert sorted(path.name for path in (project_root / 'launch').glob('*.py')) == [
        f'{name}.launch.py' for name in LAUNCH_FILES]


@pytest.mark.parametrize('name', LAUNCH_FILES)
def test_a_launch_file_imports_launch_and_the_standard_library_only(name, project_root):
    assert imported(project_root / 'launch' / f'{name}.launch.py') <= ALLOWED


@pytest.mark.skipif(find_spec('launch_ros') is None, reason='launch_ros is not installed (it has no wheels)')
@pytest.mark.parametrize('name', LAUNCH_FILES)
def test_a_launch_file_is_read_by_an_interpreter_without_our_requirements(name, project_root):
    required = re.search(r'install_requires=\[(.*?)\]', (project_root / 'setup.py').read_text(), re.DOTALL)
    packages = re.findall(r"'([\w-]+)>=", required.group(1))
    modules = {'pyyaml': '', 'opencv-python-headless': 'cv2', 'numpy': ''}  # launch and rclpy have yaml and numpy
    refused = [modules.get(package, package) for package in packages if modules.get(package, package)]
    path = project_root / 'launch' / f'{name}.launch.py'
    result = subprocess.run([sys.executable, '-c', READ_WITHOUT, ','.join([*refused, 'rsgmamba_ros']), str(path)],
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert 'params_file' in result.stdout
