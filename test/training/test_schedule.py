import pytest
import torch
from torch import nn

from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.training.schedule import learning_rate_factor, parameter_groups


def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero():
    factors = [learning_rate_factor(step, steps=100, warmup_steps=10, power=0.9) for step in range(101)]
    assert factors[0] == 0.1 and factors[9] == factors[10] == 1 and factors[100] == 0
    assert all(first >= second for first, second in zip(factors[10:], factors[11:]))


@pytest.mark.parametrize('fusion', ['rsgmb_lcgm', 'reliable_cross_scan', 'cross_scan', 'rgb_only'])
def test_every_parameter_of_the_network_reaches_the_optimizer_once(fusion):
    network = create_network('nano', classes=3, fusion=fusion)
    groups = parameter_groups(network, weight_decay=0.1)
    given = [id(parameter) for group in groups for parameter in group['params']]
    assert sorted(given) == sorted(id(parameter) for parameter in network.parameters())
    torch.optim.AdamW(groups)


def test_norms_biases_and_state_parameters_are_not_decayed():
    network = create_network('nano', classes=3)
    undecayed = {id(parameter) for parameter in parameter_groups(network, weight_decay=0.1)[1]['params']}
    names = {name for name, parameter in network.named_parameters() if id(parameter) in undecayed}
    for ending in ('A_logs', 'Ds', 'dt_projs_bias', 'norm.weight', 'fc1.bias', 'cross_scale'):
        found = {name for name, _ in network.named_parameters() if name.endswith(ending)}
        assert found and found <= names, ending
    assert not [name for name in names if name.endswith(('in_proj.weight', 'x_proj_weight', 'dt_projs_weight'))]


def test_a_bare_parameter_is_not_skipped():
    module = nn.Module()
    module.free = nn.Parameter(torch.ones(3, 3))
    assert parameter_groups(module, weight_decay=0.1)[0]['params'][0] is module.free


def test_the_encoder_gets_its_share_of_the_learning_rate():
    network = create_network('nano', classes=3)
    groups = parameter_groups(network, weight_decay=0.1, encoder_rate=0.25)
    slow = {id(parameter) for group in groups if group['rate'] == 0.25 for parameter in group['params']}
    assert slow == {id(parameter) for parameter in network.encoder.parameters()}
    assert {group['weight_decay'] for group in groups if group['rate'] == 0.25} == {0.1, 0.0}
