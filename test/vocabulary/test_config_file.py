from dataclasses import dataclass, field

import pytest

from rsgmamba_ros.vocabulary.config_file import load_config, parse_config
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality


@dataclass(frozen=True)
class Inner:
    width: int = 3


@dataclass(frozen=True)
class Outer:
    rate_hz: float
    modality: Modality = Modality.DEPTH
    names: tuple[str, ...] = ()
    inner: Inner = field(default_factory=Inner)
    limit: int | None = None
    scales: dict[str, float] = field(default_factory=dict)


def test_yaml_becomes_nested_frozen_dataclasses(tmp_path):
    path = tmp_path / 'robot.yaml'
    path.write_text('rate_hz: 10\nmodality: thermal\nnames: [a, b]\ninner: {width: 5}\nscales: {depth: 2}\n')
    assert load_config(path, Outer) == Outer(10.0, Modality.THERMAL, ('a', 'b'), Inner(5), None, {'depth': 2.0})


@pytest.mark.parametrize(('values', 'words'), [
    ({'rate_hx': 1.0}, ("'rate_hx'", "'rate_hz'")),
    ({}, ("'rate_hz'", 'missing')),
    ({'rate_hz': 'fast'}, ('rate_hz', 'float', "'fast'")),
    ({'rate_hz': True}, ('float', 'True')),
    ({'rate_hz': 1.0, 'modality': 'sonar'}, ('sonar', 'thermal')),
    ({'rate_hz': 1.0, 'names': 'a'}, ('names', 'list')),
    ({'rate_hz': 1.0, 'inner': {'wdth': 1}}, ('inner', "'width'")),
    ([], ('mapping',)),
])
def test_an_error_names_the_place_and_what_was_expected(values, words):
    with pytest.raises(ConfigError) as error:
        parse_config(values, Outer, where='robot.yaml')
    assert all(word in str(error.value) for word in ('robot.yaml', *words))


def test_unreadable_files_are_one_clear_error(tmp_path):
    with pytest.raises(ConfigError, match='cannot read'):
        load_config(tmp_path / 'none.yaml', Outer)
    broken = tmp_path / 'broken.yaml'
    broken.write_text('a: [1,\n')
    with pytest.raises(ConfigError, match='not valid YAML') as error:
        load_config(broken, Outer)
    assert '\n' not in str(error.value)


def test_yaml_cannot_build_objects(tmp_path):
    path = tmp_path / 'evil.yaml'
    path.write_text('!!python/object/apply:os.system ["true"]\n')
    with pytest.raises(ConfigError, match='not valid YAML'):
        load_config(path, Outer)
