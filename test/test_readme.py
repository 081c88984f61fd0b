"""What the README says can be typed, clicked and looked up."""
import math
from pathlib import Path
import re
import shlex
import subprocess
import sys

import pytest
import yaml

from rsgmamba_ros.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / 'README.md').read_text(encoding='utf-8')
COMMAND_LINES = [line.split(' # ')[0].strip() for block in re.findall(r'```bash\n(.*?)```', TEXT, re.DOTALL)
                 for line in block.splitlines()]
LINKS = sorted({link for link in re.findall(r'\]\(([^)#]+)', TEXT) if '://' not in link})


def listed(pattern: str) -> list[str]:
    return re.findall(pattern, (ROOT / 'CMakeLists.txt').read_text(encoding='utf-8'))


def check_make(words):
    result = subprocess.run(['make', '--dry-run', *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def check_launch(words):
    assert words[2] == 'rsgmamba_ros'
    text = (ROOT / 'launch' / words[3]).read_text(encoding='utf-8')
    for name in (word.split(':=')[0] for word in words[4:]):
        assert f"'{name}'" in text, f'{words[3]} has no argument {name}'


def check_run(words):
    assert words[2] == 'rsgmamba_ros'
    assert words[3] in listed(r'"(\w+)=[\w.]+"')


def check_rsgmamba(words):
    for word in words[1:2]:
        assert word in [*COMMANDS, '--help']
    for path in (word for word in words if word.startswith('config/')):
        assert (ROOT / path).is_file()


CHECKS = {('make',): check_make, ('ros2', 'launch'): check_launch, ('ros2', 'run'): check_run,
          ('rsgmamba',): check_rsgmamba}
#: Not ours, and they need what a test machine does not have.
OTHERS = ('python3 -m venv', 'pip install -r src/rsgmamba_ros/requirements.txt', 'rosdep install', 'colcon build',
          'source install/setup.bash')


@pytest.mark.parametrize('line', COMMAND_LINES)
def test_every_command_is_one_that_there_is(line):
    words = shlex.split(line)
    checks = [check for start, check in CHECKS.items() if tuple(words[:len(start)]) == start]
    if not checks:
        assert line.startswith(OTHERS)
    for check in checks:
        check(words)


@pytest.mark.parametrize('link', LINKS)
def test_every_link_leads_somewhere(link):
    assert (ROOT / link).exists()


def test_the_table_of_parameters_is_that_of_the_node():
    parameters = pytest.importorskip('rsgmamba_ros.ros.segmentation.parameters').PARAMETERS
    rows = re.findall(r'^\| `([\w.]+)`( \*)? \| `([^`]*)` \| (.*) \|$', TEXT, re.MULTILINE)
    assert [name for name, *_ in rows] == list(parameters)
    for name, star, default, meaning in rows:
        parameter = parameters[name]
        assert bool(star) == parameter.at_run_time, name
        assert meaning == parameter.description, name
        value = yaml.safe_load(default)
        assert value == parameter.default or (math.isnan(value) and math.isnan(parameter.default)), name


@pytest.mark.parametrize('modality', ['depth', 'thermal'])
def test_the_parameter_files_hold_known_parameters_with_their_defaults(modality):
    parameters = pytest.importorskip('rsgmamba_ros.ros.segmentation.parameters').PARAMETERS
    values = yaml.safe_load((ROOT / 'config' / f'segmentation_{modality}.yaml').read_text())['/**']['ros__parameters']
    assert set(values) <= set(parameters)
    assert values.pop('modality') == modality
    for name, value in values.items():
        assert type(value) is type(parameters[name].default), name
        assert value == parameters[name].default or math.isnan(value), name


def test_the_program_starts():
    result = subprocess.run([sys.executable, '-m', 'rsgmamba_ros.cli.main', '--help'], capture_output=True, text=True,
                            check=False)
    assert result.returncode == 0
    assert 'replay' in result.stdout
