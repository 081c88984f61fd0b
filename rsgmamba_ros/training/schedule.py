"""Learning rate over the steps, and which parameters are decayed."""
from __future__ import annotations

import math
from typing import Any

from torch import nn

#: State-space parameters whose decay would change what the state remembers.
UNDECAYED_NAMES = ('A_log', 'A_logs', 'D', 'Ds')


def learning_rate_factor(step: int, *, steps: int, warmup_steps: int, power: float) -> float:
    """Factor of the peak learning rate: a linear rise, then a polynomial fall to zero after the last step."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    remaining = max(0.0, 1 - (step - warmup_steps) / max(1, steps - warmup_steps))
    return math.pow(remaining, power)


def parameter_groups(module: nn.Module, *, weight_decay: float, encoder_rate: float = 1.0) -> list[dict[str, Any]]:
    """Every trainable parameter, each once: those that are decayed, and norms, biases, A, D and dt bias that are not.

    Each group has its `rate`, the share of the learning rate that it gets: `encoder_rate` for the module `encoder`.

    Raises:
        ValueError: a parameter would be left out or given twice.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {(1.0, True): [], (1.0, False): []}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            rate = encoder_rate if name.startswith('encoder.') else 1.0
            groups.setdefault((rate, _is_decayed(name, parameter)), []).append(parameter)
    given = [id(parameter) for group in groups.values() for parameter in group]
    wanted = {id(parameter) for parameter in module.parameters() if parameter.requires_grad}
    if set(given) != wanted or len(given) != len(wanted):
        raise ValueError('a parameter would be left out of the optimizer or given twice')
    return [{'params': group, 'weight_decay': weight_decay if decayed else 0.0, 'rate': rate}
            for (rate, decayed), group in groups.items()]


def _is_decayed(name: str, parameter: nn.Parameter) -> bool:
    last = name.rsplit('.', 1)[-1]
    return parameter.squeeze().ndim > 1 and not last.endswith('bias') and last not in UNDECAYED_NAMES
