"""`rsgmamba doctor`: is everything in place for the node, and what to do about what is not."""
from __future__ import annotations

import argparse
from dataclasses import asdict
from importlib.util import find_spec
import json
import os
import subprocess
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from rsgmamba_ros.cli.robot.findings import error, Finding, Level, ok, warn
from rsgmamba_ros.cli.robot.machine import checkpoint_finding, machine_findings
from rsgmamba_ros.cli.robot.topics import choose_pair, Pair, topic_findings, transport_finding
from rsgmamba_ros.vocabulary.images import AUXILIARY_MODALITIES, Modality

_COLOURS = {Level.OK: 'green', Level.WARN: 'yellow', Level.ERROR: 'red'}

#: Time for start, discovery and end of the survey beside the listening.
_SURVEY_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('--modality', choices=[str(one) for one in AUXILIARY_MODALITIES], default='depth',
                        help='auxiliary modality beside RGB')
    parser.add_argument('--checkpoint', default='', help='checkpoint file, or name of a shipped network')
    parser.add_argument('--device', default='auto', help='torch device that the node will use')
    parser.add_argument('--rgb-topic', default='', help='colour images; found by their encoding if not given')
    parser.add_argument('--aux-topic', default='', help='depth or thermal images; found likewise')
    parser.add_argument('--seconds', type=float, default=5.0, help='time to listen to the image topics')
    parser.add_argument('--no-topics', action='store_true', help='look at this machine only')
    parser.add_argument('--json', action='store_true', help='print the findings as JSON')


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; exit status 1 if one of them is an error."""
    auxiliary = Modality(arguments.modality)
    findings = [*machine_findings(arguments.device), checkpoint_finding(arguments.checkpoint, auxiliary)]
    ros, pair = ([], None) if arguments.no_topics else _look_at_ros(arguments, auxiliary)
    findings = [*ros, *findings]
    if arguments.json:
        print(json.dumps([{**asdict(finding), 'level': finding.level.value} for finding in findings], indent=1))
    else:
        _print(findings, pair, auxiliary)
    return int(any(finding.level is Level.ERROR for finding in findings))


def _look_at_ros(arguments: argparse.Namespace, auxiliary: Modality) -> tuple[list[Finding], Pair | None]:
    if find_spec('rclpy') is None:
        return [error('ROS 2', 'rclpy cannot be imported', 'source /opt/ros/$ROS_DISTRO/setup.bash')], None
    distribution = ok('ROS 2', f'{os.environ.get("ROS_DISTRO", "from Python packages")}, domain '
                               f'{os.environ.get("ROS_DOMAIN_ID", "0")}')
    survey, problem = _survey(arguments.seconds)
    if survey is None:
        return [distribution, error('ROS 2', problem, 'mend the installation of ROS 2; docs/troubleshooting.md')], None
    topics = survey['topics']
    findings = [distribution, transport_finding(survey['middleware'], survey['profile'], topics)]
    if survey['cv_bridge']:
        findings.append(warn('cv_bridge', f'it cannot be used: {survey["cv_bridge"]}',
                             "install the NumPy that it was built for, usually pip install 'numpy<2'"))
    pair = choose_pair(topics, auxiliary, rgb=arguments.rgb_topic, other=arguments.aux_topic)
    return [*findings, *topic_findings(topics, pair, auxiliary)], pair


def _survey(seconds: float) -> tuple[dict[str, Any] | None, str]:
    """What the survey found, or why it found nothing."""
    command = [sys.executable, '-m', 'rsgmamba_ros.ros.tools.topic_survey', str(seconds)]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=seconds + _SURVEY_S, check=False)
    except subprocess.TimeoutExpired:
        return None, f'a node that listens to the topics did not end in {seconds + _SURVEY_S:g} s'
    if answer.returncode:
        lines = answer.stderr.strip().splitlines()
        return None, f'a node cannot run: {lines[-1] if lines else f"status {answer.returncode}"}'
    found: dict[str, Any] = json.loads(answer.stdout.strip().splitlines()[-1])
    return found, ''


def _print(findings: list[Finding], pair: Pair | None, auxiliary: Modality) -> None:
    table = Table('', '', '', box=None, show_header=False, padding=(0, 1))
    for finding in findings:
        table.add_row(f'[{_COLOURS[finding.level]}]{finding.level.value}[/]', finding.subject,
                      finding.text + (f'\n[bold]-> {finding.remedy}[/]' if finding.remedy else ''))
    # A file or a pipe has no width: long enough for one line a finding.
    console = Console(width=None if sys.stdout.isatty() else 240)
    console.print(table)
    if pair and pair.rgb and pair.auxiliary:
        console.print(f'ros2 launch rsgmamba_ros segment.launch.py modality:={auxiliary} rgb_topic:={pair.rgb} '
                      f'auxiliary_topic:={pair.auxiliary}', soft_wrap=True, highlight=False)
