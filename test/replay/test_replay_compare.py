import copy
import json

import pytest

from rsgmamba_ros.cli.main import main
from rsgmamba_ros.replay.compare import (
    Agreement,
    agreement,
    differences,
    doubts,
    figures,
    parse_requirements,
    unmet,
)
from rsgmamba_ros.vocabulary.errors import ConfigError

SUMMARY = {
    'schema': 'rsgmamba_ros/replay', 'schema_version': 1, 'complete': True, 'ended_by': 'end of bag', 'miou': 0.6,
    'missed': 0, 'bag': {'name': 'bag', 'fingerprint': 'b'}, 'checkpoint': {'name': 'one', 'sha256': 'c'},
    'config': {'seed': 0}, 'config_sha256': 'd', 'modalities': {'rgb': {'reliability': {'mean': 0.9}, 'dropouts': []}},
    'episodes': []}


def changed(**changes):
    return {**copy.deepcopy(SUMMARY), **changes}


def test_every_number_has_a_dotted_path():
    found = figures(SUMMARY)
    assert found['modalities.rgb.reliability.mean'] == 0.9
    assert found['modalities.rgb.dropouts.count'] == 0
    assert not [name for name in found if name.startswith(('bag', 'config', 'schema'))]


def test_differences_are_second_minus_first_and_survive_a_missing_figure():
    compared = {item.name: item for item in differences(changed(miou=None), changed(miou=0.5, new=1))}
    assert compared['miou'].change is None
    assert compared['new'].first is None
    compared = {item.name: item for item in differences(SUMMARY, changed(miou=0.5))}
    assert abs(compared['miou'].change + 0.1) < 1e-12


@pytest.mark.parametrize(('text', 'second', 'failed'), [
    ('miou>=0.5,missed<=0', {}, 0), ('miou>=0.5, missed<=0', {'miou': 0.4, 'missed': 2}, 2),
    ('miou>0.6', {}, 1), ('miou==0.6', {}, 0), ('change.miou>=-0.05', {'miou': 0.58}, 0),
    ('change.miou>=-0.05', {'miou': 0.5}, 1), ('miou>=0', {'miou': None}, 1),
    ('modalities.rgb.reliability.mean>=0.8', {}, 0), ('', {'miou': 0.0}, 0)])
def test_requirements_judge_the_second_replay(text, second, failed):
    assert len(unmet(parse_requirements(text), differences(SUMMARY, changed(**second)))) == failed


@pytest.mark.parametrize('text', ['miou', 'miou>=high', '>=0.5', 'miou=0.5', 'miou>=0.5;missed<=0'])
def test_a_requirement_in_another_form_is_refused(text):
    with pytest.raises(ConfigError, match='is not name>=number'):
        parse_requirements(text)


def test_an_unknown_figure_names_the_nearest():
    with pytest.raises(ConfigError, match="no figure 'miuo'.*'miou'"):
        unmet(parse_requirements('miuo>=1'), differences(SUMMARY, SUMMARY))


def test_what_makes_two_replays_incomparable_is_said():
    assert doubts(SUMMARY, SUMMARY) == []
    other = changed(complete=False, ended_by='interrupted', config={'seed': 1}, config_sha256='e',
                    bag={'name': 'other', 'fingerprint': 'x'}, checkpoint=None)
    assert doubts(SUMMARY, other) == [
        'bag: bag and other differ', 'checkpoint: one and none differ', 'configuration: seed differ',
        'second replay is partial: interrupted']


def write(folder, summary):
    folder.mkdir()
    (folder / 'summary.json').write_text(json.dumps(summary))
    return str(folder)


def test_the_exit_status_is_the_judgement(tmp_path, capsys):
    first, second = write(tmp_path / 'a', SUMMARY), write(tmp_path / 'b', changed(miou=0.4))
    assert main(['compare', first, first, '--require', 'miou>=0.5']) == 0
    assert 'no figure differs' in capsys.readouterr().out
    assert main(['compare', first, second, '--require', 'miou>=0.5,missed<=0']) == 1
    captured = capsys.readouterr()
    assert 'miou' in captured.out
    assert '-0.2' in captured.out
    assert 'missed' not in captured.out
    assert captured.err.strip() == 'miou>=0.5 is not met: it is 0.4'


@pytest.mark.parametrize(('text', 'message'), [
    ('nonsense', 'cannot read'), ('{"schema": "other"}', 'no summary of a replay'),
    ('{"schema": "rsgmamba_ros/replay", "schema_version": 2}', 'schema version 2; this version reads 1')])
def test_a_file_that_is_no_summary_is_one_line(tmp_path, capsys, text, message):
    (tmp_path / 'summary.json').write_text(text)
    assert main(['compare', str(tmp_path), str(tmp_path)]) == 1
    assert message in capsys.readouterr().err


def bundle(stamp_ns, label_map, *, depth=None, leader='rgb'):
    return {'leader': leader, 'stamp_ns': stamp_ns, 'label_map': label_map,
            'modalities': {'depth': {'stamp_ns': depth, 'used': depth is not None}}}


def test_label_maps_are_compared_where_the_network_was_given_the_same():
    first = [bundle(1, 'a', depth=1), bundle(2, 'b', depth=2), bundle(3, 'c', depth=3), bundle(4, 'd')]
    second = [bundle(1, 'a', depth=1), bundle(2, 'x', depth=2), bundle(3, 'c'), bundle(5, 'e'),
              {**bundle(4, 'd'), 'leader': 'depth'}, {'leader': 'rgb', 'stamp_ns': 4, 'modalities': {}}]
    assert agreement(first, second) == Agreement(bundles=2, differing=1, paired_differently=1)


def test_agreement_can_be_required(tmp_path, capsys):
    folders = [write(tmp_path / name, SUMMARY) for name in ('a', 'b')]
    for name, label_map in (('a', 'x'), ('b', 'y')):
        (tmp_path / name / 'bundles.jsonl').write_text(json.dumps(bundle(1, label_map)) + '\n{"leader": "r')
    assert main(['compare', *folders, '--require', 'agreement.bundles>=1,agreement.differing<=0']) == 1
    assert capsys.readouterr().err.strip() == 'agreement.differing<=0 is not met: it is 1'
