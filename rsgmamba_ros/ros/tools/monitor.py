"""A terminal view of a running segmentation node: rates, reliabilities, drops, and what is wrong.

    ros2 run rsgmamba_ros monitor_node [--once]        (or: rsgmamba monitor)
"""
from __future__ import annotations

import argparse
from dataclasses import dataclass, field
import sys

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table

from rsgmamba_ros.ros.running import run_node, StopFlag
from rsgmamba_ros.vocabulary.errors import RSGMambaError

#: Parts of a node in its diagnostics; a node is told from others by them.
_OUTPUT = 'output'
_COLOURS = {DiagnosticStatus.OK: 'green', DiagnosticStatus.WARN: 'yellow', DiagnosticStatus.ERROR: 'red'}


class MonitorError(RSGMambaError, RuntimeError):
    """There is nothing to show."""


@dataclass
class NodeView:
    """The newest status of each part of one node, by the part's name."""

    parts: dict[str, DiagnosticStatus] = field(default_factory=dict)

    def values(self, part: str) -> dict[str, str]:
        """The figures of one part."""
        return {value.key: value.value for value in self.parts[part].values}


def collect(nodes: dict[str, NodeView], message: DiagnosticArray) -> None:
    """Take over the statuses of segmentation nodes; those of others are left out."""
    for status in message.status:
        name, separator, part = status.name.rpartition(': ')
        is_ours = status.hardware_id.startswith('rsgmamba_ros') or name in nodes
        if separator and is_ours:
            nodes.setdefault(name, NodeView())
    for status in message.status:
        name, _, part = status.name.rpartition(': ')
        if name in nodes:
            nodes[name].parts[part] = status


def view(nodes: dict[str, NodeView]) -> RenderableType:
    """One table for each node."""
    if not nodes:
        return 'waiting for /diagnostics of a segmentation node ...'
    return Group(*(_table(name, node) for name, node in sorted(nodes.items())))


def _table(name: str, node: NodeView) -> Table:
    table = Table('part', 'Hz', 'usual Hz', 'reliability', 'dropouts', 'state', title=name, title_justify='left')
    for part, status in node.parts.items():
        values = node.values(part)
        colour = _COLOURS.get(status.level, 'white')
        table.add_row(part, values.get('rate_hz', ''), values.get('learned_rate_hz', ''),
                      values.get('reliability', ''), values.get('dropouts', ''), f'[{colour}]{status.message}[/]')
    drops = {key: value for part in node.parts for key, value in node.values(part).items() if '.drop.' in key}
    output = node.values(_OUTPUT) if _OUTPUT in node.parts else {}
    latency = ', '.join(f'{key.split("_")[1]} {value}' for key, value in output.items() if key.startswith('latency_'))
    table.caption = '\n'.join(line for line in (
        f'latency in ms: {latency}' if latency else '',
        'drops: ' + ', '.join(f'{key} {value}' for key, value in sorted(drops.items())) if drops else '') if line)
    table.caption_justify = 'left'
    return table


class Monitor(Node):
    """Listens to /diagnostics.

    Args:
        once: print one table and end, instead of a view that is kept up to date.
        patience_s: time to wait for the first message with `once`.
    """

    def __init__(self, *, once: bool, patience_s: float):
        super().__init__('rsgmamba_monitor')
        self._once = once
        self._patience_s = patience_s
        self._nodes: dict[str, NodeView] = {}
        self.create_subscription(DiagnosticArray, '/diagnostics', lambda message: collect(self._nodes, message), 10)

    def run(self, executor: SingleThreadedExecutor) -> None:
        """Show the view until the process is told to stop.

        Raises:
            MonitorError: nothing came in time, with `once`.
        """
        stop, console = StopFlag(), Console()
        if self._once:
            self._wait(executor, stop)
            console.print(view(self._nodes))
            return
        with Live(view(self._nodes), console=console, refresh_per_second=4, screen=False) as live:
            while not stop:
                executor.spin_once(timeout_sec=0.2)
                live.update(view(self._nodes))

    def _wait(self, executor: SingleThreadedExecutor, stop: StopFlag) -> None:
        end_ns = self.get_clock().now().nanoseconds + round(self._patience_s * 1e9)
        while not any(_OUTPUT in node.parts for node in self._nodes.values()):
            if stop or self.get_clock().now().nanoseconds > end_ns:
                raise MonitorError(f'no segmentation node published on /diagnostics in {self._patience_s:g} s; is it '
                                   'running, and in this ROS_DOMAIN_ID?')
            executor.spin_once(timeout_sec=0.1)


def main(arguments: list[str] | None = None) -> int:
    """Run the monitor until it is told to stop; the exit status."""
    parser = argparse.ArgumentParser('monitor_node', description=__doc__.splitlines()[0])
    parser.add_argument('--once', action='store_true', help='print one table and end')
    parser.add_argument('--patience-s', type=float, default=15.0, help='time to wait for a node with --once')
    own = parser.parse_args(remove_ros_args(sys.argv if arguments is None else ['monitor_node', *arguments])[1:])
    return run_node('monitor_node', lambda: Monitor(once=own.once, patience_s=own.patience_s), Monitor.run,
                    close=lambda monitor: None, arguments=arguments)


if __name__ == '__main__':
    sys.exit(main())
