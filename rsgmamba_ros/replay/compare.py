"""Two summaries of replays -> their differences, and the requirements that the second one does not meet."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
import operator
import re

from rsgmamba_ros.replay.observers.bundle_log import BundleRecord
from rsgmamba_ros.replay.report.schema import CheckpointSummary, Summary
from rsgmamba_ros.vocabulary.errors import ConfigError

#: Parts of a summary that say where it was made, not how good it is.
_PROVENANCE = ('schema', 'schema_version', 'created', 'command', 'software', 'machine', 'config', 'config_sha256',
               'bag', 'checkpoint', 'faults', 'seed')

_OPERATORS = {'>=': operator.ge, '<=': operator.le, '==': operator.eq, '>': operator.gt, '<': operator.lt}
_NUMBER = r'[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?'
_FORM = re.compile(rf'\s*(?P<name>[\w. -]+?)\s*(?P<operator>>=|<=|==|>|<)\s*(?P<limit>{_NUMBER})\s*')
#: Put before a figure's name, it means the change from the first replay to the second.
CHANGE = 'change.'


@dataclass(frozen=True)
class Requirement:
    """A figure of a summary and what it must be.

    Attributes:
        name: dotted path in the summary, `miou`, `modalities.rgb.reliability.mean`; after `change.`, the difference.
    """

    name: str
    operator: str
    limit: float

    def __str__(self) -> str:
        return f'{self.name}{self.operator}{self.limit:g}'

    def is_met(self, value: float | None) -> bool:
        """A figure that does not exist meets nothing."""
        return value is not None and _OPERATORS[self.operator](value, self.limit)


def parse_requirements(text: str) -> tuple[Requirement, ...]:
    """Read `miou>=0.5,missed<=0,change.miou>=-0.01`.

    Raises:
        ConfigError: a part has another form.
    """
    requirements = []
    for part in filter(None, text.split(',')):
        match = _FORM.fullmatch(part)
        if match is None:
            raise ConfigError(f'requirement {part!r} is not name>=number, as in miou>=0.5; the operators are '
                              f'{", ".join(_OPERATORS)}')
        requirements.append(Requirement(match['name'], match['operator'], float(match['limit'])))
    return tuple(requirements)


def figures(summary: Mapping[str, object]) -> dict[str, float | None]:
    """Every number of a summary that can be compared, by its dotted path."""
    found: dict[str, float | None] = {}

    def collect(prefix: str, value: object) -> None:
        if isinstance(value, Mapping):
            for key, item in value.items():
                collect(f'{prefix}.{key}', item)
        elif value is None or isinstance(value, (int, float)):
            found[prefix] = value if value is None else float(value)
        elif isinstance(value, list):
            found[f'{prefix}.count'] = float(len(value))

    for key, value in summary.items():
        if key not in _PROVENANCE:
            collect(key, value)
    return found


@dataclass(frozen=True)
class Difference:
    """One figure of two replays; None where one has no such figure."""

    name: str
    first: float | None
    second: float | None

    @property
    def change(self) -> float | None:
        """Second minus first."""
        return None if self.first is None or self.second is None else self.second - self.first


def differences(first: Mapping[str, object], second: Mapping[str, object]) -> list[Difference]:
    """Every figure of either summary, in the order of the first."""
    one, two = figures(first), figures(second)
    return [Difference(name, one.get(name), two.get(name)) for name in {**one, **two}]


def unmet(requirements: tuple[Requirement, ...], compared: list[Difference]) -> list[str]:
    """Requirements that the second replay does not meet, a sentence each.

    Raises:
        ConfigError: a requirement names a figure that neither summary has.
    """
    by_name = {item.name: item for item in compared}
    sentences = []
    for requirement in requirements:
        name = requirement.name.removeprefix(CHANGE)
        if name not in by_name:
            near = get_close_matches(name, by_name, n=3, cutoff=0.3)
            raise ConfigError(f'requirement {requirement}: there is no figure {name!r}; did you mean {near}?')
        item = by_name[name]
        value = item.change if requirement.name.startswith(CHANGE) else item.second
        if not requirement.is_met(value):
            sentences.append(f'{requirement} is not met: it is {"not known" if value is None else f"{value:g}"}')
    return sentences


@dataclass(frozen=True)
class Agreement:
    """How far two replays of one bag agree, bundle by bundle.

    Attributes:
        bundles: in both, with the same leading image and the same partners.
        differing: of these, those with another label map.
        paired_differently: in both, with other partners.
    """

    bundles: int
    differing: int
    paired_differently: int


def agreement(first: Iterable[BundleRecord], second: Iterable[BundleRecord]) -> Agreement:
    """Compare the segmented bundles of two replays, as `bundles.jsonl` has them."""
    segmented = {_leading(bundle): bundle for bundle in first if 'label_map' in bundle}
    pairs = [(segmented[_leading(bundle)], bundle) for bundle in second
             if 'label_map' in bundle and _leading(bundle) in segmented]
    same = [(one, two) for one, two in pairs if _given(one) == _given(two)]
    return Agreement(len(same), sum(one['label_map'] != two['label_map'] for one, two in same), len(pairs) - len(same))


def _leading(bundle: BundleRecord) -> tuple[str, int]:
    return bundle['leader'], bundle['stamp_ns']


def _given(bundle: BundleRecord) -> dict[str, tuple[int | None, bool]]:
    """What the network was given: of each modality the stamp of its image, and whether it was used."""
    return {name: (state['stamp_ns'], state.get('used', False)) for name, state in bundle['modalities'].items()}


def doubts(first: Summary, second: Summary) -> list[str]:
    """Why the two may not be comparable, a sentence each."""
    said = []
    if first['bag']['fingerprint'] != second['bag']['fingerprint']:
        said.append(f'bag: {first["bag"]["name"]} and {second["bag"]["name"]} differ')
    (one, one_hash), (two, two_hash) = (_name_and_hash(summary['checkpoint']) for summary in (first, second))
    if one_hash != two_hash:
        said.append(f'checkpoint: {one} and {two} differ')
    if first['config_sha256'] != second['config_sha256']:
        keys = sorted(key for key in {**first['config'], **second['config']}
                      if first['config'].get(key) != second['config'].get(key))
        said.append(f'configuration: {", ".join(keys)} differ')
    said += [f'{name} replay is partial: {summary["ended_by"]}'
             for name, summary in (('first', first), ('second', second)) if not summary['complete']]
    return said


def _name_and_hash(checkpoint: CheckpointSummary | None) -> tuple[str, str]:
    return (checkpoint['name'], checkpoint['sha256']) if checkpoint else ('none', '')
