import subprocess
import sys

import pytest

from rsgmamba_ros.cli import main as cli
from rsgmamba_ros.vocabulary.errors import ConfigError


def test_a_known_error_is_one_line_and_status_one(capsys):
    assert cli.main(['train', 'no_such_file.yaml']) == 1
    captured = capsys.readouterr()
    assert captured.out == '' and captured.err.startswith('error: ') and captured.err.count('\n') == 1
    assert 'no_such_file.yaml' in captured.err


def test_an_unknown_sub_command_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as raised:
        cli.main(['trian'])
    assert raised.value.code == 2 and "invalid choice: 'trian'" in capsys.readouterr().err


def test_help_lists_every_sub_command_without_importing_torch():
    code = ('import sys; from rsgmamba_ros.cli.main import create_parser; '
            'print(create_parser([])[0].format_help()); assert "torch" not in sys.modules')
    shown = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
    assert all(name in shown for name in cli.COMMANDS)


def test_every_sub_command_can_be_imported_and_describes_its_arguments(capsys):
    for name in cli.COMMANDS:
        with pytest.raises(SystemExit) as raised:
            cli.main([name, '--help'])
        assert raised.value.code == 0
        assert name in capsys.readouterr().out


def test_ctrl_c_is_status_130_without_a_traceback(monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr('rsgmamba_ros.cli.train.run', interrupted)
    assert cli.main(['train', 'x.yaml']) == 130
    assert capsys.readouterr().err == 'interrupted\n'


def test_a_message_over_several_lines_is_put_into_one(monkeypatch, capsys):
    def failing(arguments):
        raise ConfigError('first\nsecond')

    monkeypatch.setattr('rsgmamba_ros.cli.train.run', failing)
    assert cli.main(['train', 'x.yaml']) == 1
    assert capsys.readouterr().err == 'error: first second\n'
