"""The README is short, its commands run, and the parameter files agree with the node."""
from importlib.util import find_spec
import math
from pathlib import Path
import re
import shlex
import subprocess
import sys

import pytest
import yaml

from rsgmamba_ros.cli.main import COMMANDS, main
from rsgmamba_ros.training.config import TrainingConfig
from rsgmamba_ros.vocabulary.config_file import load_config

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / 'README.md').read_text(encoding='utf-8')
COMMAND_LINES = [line.split(' # ')[0].strip() for block in re.findall(r'```bash\n(.*?)```', TEXT, re.DOTALL)
                 for line in block.splitlines()]
MOST_WORDS = 700


def check_make(words: list[str]) -> None:
    result = subprocess.run(['make', '--dry-run', *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def check_launch(words: list[str]) -> None:
    """Every argument is declared; where launch is installed, also with an allowed value."""
    assert words[2] == 'rsgmamba_ros'
    path = ROOT / 'launch' / words[3]
    arguments = dict(word.split(':=') for word in words[4:])
    text = path.read_text(encoding='utf-8')
    assert [name for name in arguments if f"'{name}'" not in text] == []
    if find_spec('launch_ros') is None:
        return
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    description = get_launch_description_from_python_launch_file(str(path))
    declared = {argument.name: argument for argument in description.get_launch_arguments()}
    for name, value in arguments.items():
        assert not declared[name].choices or value in declared[name].choices, f'{name} cannot be {value}'


def check_run(words: list[str]) -> None:
    assert words[2] == 'rsgmamba_ros'
    if words[3] == 'rsgmamba':
        check_rsgmamba(words[3:])
    assert words[3] in re.findall(r'"(\w+)=[\w.]+"', (ROOT / 'CMakeLists.txt').read_text(encoding='utf-8'))


def check_rsgmamba(words: list[str]) -> None:
    """Show the help of the command; of a training, also read its configuration."""
    arguments = words[1:] if '--help' in words else [words[1], '--help']
    assert arguments[0] in [*COMMANDS, '--help']
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 0
    if words[1] == 'train':
        load_config(ROOT / words[2], TrainingConfig)


CHECKS = {('make',): check_make, ('ros2', 'launch'): check_launch, ('ros2', 'run'): check_run,
          ('rsgmamba',): check_rsgmamba}
#: Not ours, and they need what a test machine does not have.
OTHERS = ('python3 -m venv', 'pip install -r src/rsgmamba_ros/requirements.txt', 'rosdep install', 'colcon build',
          'source install/setup.bash', 'pip install torch --index-url', "sed -i '/^torch==/d' src/")


@pytest.mark.parametrize('line', COMMAND_LINES)
def test_every_command_is_one_that_there_is(line: str) -> None:
    words = shlex.split(line)
    checks = [check for start, check in CHECKS.items() if tuple(words[:len(start)]) == start]
    if not checks:
        assert line.startswith(OTHERS)
    for check in checks:
        check(words)


def test_the_readme_is_short() -> None:
    assert len(TEXT.split()) <= MOST_WORDS


@pytest.mark.parametrize('modality', ['depth', 'thermal'])
def test_the_parameter_files_hold_known_parameters_with_their_defaults(modality: str) -> None:
    parameters = pytest.importorskip('rsgmamba_ros.ros.segmentation.parameters').PARAMETERS
    values = yaml.safe_load((ROOT / 'config' / f'segmentation_{modality}.yaml').read_text())['/**']['ros__parameters']
    assert set(values) <= set(parameters)
    assert values.pop('modality') == modality
    for name, value in values.items():
        assert type(value) is type(parameters[name].default), name
        assert value == parameters[name].default or math.isnan(value), name


def test_the_program_starts() -> None:
    result = subprocess.run([sys.executable, '-m', 'rsgmamba_ros.cli.main', '--help'], capture_output=True, text=True,
                            check=False)
    assert result.returncode == 0
    assert 'replay' in result.stdout
