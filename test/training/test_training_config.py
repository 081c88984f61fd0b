from dataclasses import replace

import pytest

from rsgmamba_ros.training.config import Phase, TrainingConfig
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality

CONFIG = TrainingConfig(Modality.DEPTH, (Phase(10, 2, 32, 32), Phase(5, 2, 64, 64),
                                         Phase(7, 2, 32, 32, learns='reliability')))


def test_the_learning_rate_falls_over_the_phases_that_teach_the_same():
    assert [CONFIG.progress_at(step) for step in range(15)] == [(step, 15) for step in range(15)]
    assert [CONFIG.progress_at(step) for step in range(15, 22)] == [(step, 7) for step in range(7)]
    interrupted = replace(CONFIG, phases=(*CONFIG.phases, Phase(3, 2, 32, 32, learns='all')))
    assert [interrupted.progress_at(step) for step in (0, 14, 15, 21, 22, 24)] == [
        (0, 18), (14, 18), (0, 7), (6, 7), (15, 18), (17, 18)]


def test_the_learning_rate_begins_anew_where_a_phase_says_so():
    first, second, last = Phase(4, 2, 32, 32), Phase(3, 2, 32, 32, restart=0.5), Phase(2, 2, 32, 32)
    config = replace(CONFIG, phases=(first, first, second, Phase(2, 2, 32, 32, learns='reliability'), last))
    assert [config.progress_at(step) for step in (0, 7, 8, 10, 11, 12, 13, 14)] == [
        (0, 8), (7, 8), (0, 5), (2, 5), (0, 2), (1, 2), (3, 5), (4, 5)]
    assert [config.share_at(step) for step in (0, 7, 8, 11, 13)] == [1.0, 1.0, 0.5, 1.0, 0.5]


def test_a_network_without_gates_has_no_phase_that_teaches_reliability():
    with pytest.raises(ConfigError, match='sum estimates no reliability'):
        replace(CONFIG, fusion='sum')


@pytest.mark.parametrize('wrong, message', [({'learns': 'decoder'}, 'learns'), ({'scales': (1.0,)}, 'scales'),
                                            ({'restart': 2.0}, 'restart'),
                                            ({'restart': 2.0, 'learns': 'segmentation'}, 'restart')])
def test_a_phase_that_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        Phase(1, 1, 32, 32, **wrong)


def test_what_learns_alone_has_a_learning_rate_of_its_own_which_may_be_larger():
    config = replace(CONFIG, phases=(Phase(4, 2, 32, 32), Phase(3, 2, 32, 32, learns='reliability'),
                                     Phase(2, 2, 32, 32, learns='gates', restart=5.0)))
    assert [config.progress_at(step) for step in (3, 4, 6, 7, 8)] == [(3, 4), (0, 3), (2, 3), (0, 2), (1, 2)]
    assert [config.share_at(step) for step in (3, 4, 7)] == [1.0, 1.0, 5.0]
