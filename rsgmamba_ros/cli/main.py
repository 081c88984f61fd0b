"""`rsgmamba`: one program, one thin file a sub-command."""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
import logging
import sys
from types import ModuleType

from rsgmamba_ros.vocabulary.errors import RSGMambaError


@dataclass(frozen=True)
class Command:
    """A sub-command: its module has `add_arguments(parser)` and `run(arguments) -> int | None`."""

    module: str
    help: str
    aliases: tuple[str, ...] = ()


COMMANDS = {
    'info': Command('rsgmamba_ros.cli.networks.info',
                    'print a network: parameters, operations, or what a checkpoint holds'),
    'benchmark': Command('rsgmamba_ros.cli.benchmark', 'measure speed and memory on this machine'),
    'convert': Command('rsgmamba_ros.cli.networks.convert', 'turn a VMamba .pth file into a safetensors file'),
    'export': Command('rsgmamba_ros.cli.networks.export', 'write a checkpoint as ONNX or torch.export program'),
    'train': Command('rsgmamba_ros.cli.train', 'train a network as a YAML file says'),
    'baselines': Command('rsgmamba_ros.cli.baselines',
                         'train and compare the network and its baselines at equal budget', aliases=('rivals',)),
    'evaluate': Command('rsgmamba_ros.cli.evaluate', 'score a checkpoint, with and without sensor failures'),
    'dataset': Command('rsgmamba_ros.cli.dataset', 'check a dataset folder'),
    'profile': Command('rsgmamba_ros.cli.profile', 'learn what healthy images of one sensor look like'),
    'replay': Command('rsgmamba_ros.cli.replay', 'segment a bag and report'),
    'compare': Command('rsgmamba_ros.cli.compare', 'compare the results of two replays'),
    'doctor': Command('rsgmamba_ros.cli.robot.doctor',
                      'check this machine, ROS 2 and the cameras, with a remedy for each problem'),
    'monitor': Command('rsgmamba_ros.cli.robot.monitor', 'show rates, reliabilities and drops of the running node'),
    'bag': Command('rsgmamba_ros.cli.bag', 'write bags for tests'),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command.

    Returns:
        the exit status: 0; 1 after a known error, which is one line on stderr; 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format='%(levelname)s: %(message)s')
    parser, modules = create_parser(_wanted(arguments))
    parsed = parser.parse_args(arguments)
    try:
        return modules[parsed.command].run(parsed) or 0
    except RSGMambaError as error:
        print(f'error: {" ".join(str(error).split())}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) has seen enough.
        sys.stderr.close()
        return 0


def create_parser(wanted: Sequence[str]) -> tuple[argparse.ArgumentParser, dict[str, ModuleType]]:
    """The parser, with the arguments of the `wanted` sub-commands, and their modules.

    The others are named but not imported: torch takes seconds that `rsgmamba --help` need not wait for.
    """
    parser = argparse.ArgumentParser('rsgmamba', description='Segmentation of RGB and depth or thermal images '
                                     'with a reliability for each sensor.')
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    modules: dict[str, ModuleType] = {}
    for name, command in COMMANDS.items():
        own = commands.add_parser(name, aliases=command.aliases, help=command.help,
                                  description=command.help[0].upper() + command.help[1:] + '.')
        if not {name, *command.aliases}.isdisjoint(wanted):
            module = import_module(command.module)
            module.add_arguments(own)
            modules |= dict.fromkeys((name, *command.aliases), module)
    _complete(parser)
    return parser, modules


def _wanted(arguments: Sequence[str]) -> list[str]:
    first = next((argument for argument in arguments if not argument.startswith('-')), None)
    return [first] if first in _names() else _completing()


def _names() -> set[str]:
    return {name for command, entry in COMMANDS.items() for name in (command, *entry.aliases)}


def _completing() -> list[str]:
    """The sub-command whose arguments the shell wants completed, if it is the shell that asks."""
    import os

    words = os.environ.get('COMP_LINE', '').split()
    return [word for word in words[1:2] if word in _names()]


def _complete(parser: argparse.ArgumentParser) -> None:
    try:
        import argcomplete
    except ImportError:
        return
    argcomplete.autocomplete(parser)


if __name__ == '__main__':
    sys.exit(main())
