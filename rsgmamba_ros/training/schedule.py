"""Learning rate over the steps, and which parameters are decayed."""
from __future__ import annotations

from torch import nn

#: State-space parameters whose decay would change what the state remembers.
UNDECAYED_NAMES = ('A_log', 'A_logs', 'D', 'Ds')


def learning_rate_factor(step: int, *, steps: int, warmup_steps: int, power: float) -> float:
    """Factor of the peak learning rate: a linear rise, then a polynomial fall to zero after the last step."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return max(0.0, 1 - (step - warmup_steps) / max(1, steps - warmup_steps)) ** power


def parameter_groups(module: nn.Module, *, weight_decay: float) -> list[dict]:
    """Every trainable parameter, each once: those that are decayed, and norms, biases, A, D and dt bias that are not.

    Raises:
        ValueError: a parameter would be left out or given twice.
    """
    decayed, undecayed = [], []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            (decayed if _is_decayed(name, parameter) else undecayed).append(parameter)
    given = {id(parameter) for parameter in decayed + undecayed}
    wanted = {id(parameter) for parameter in module.parameters() if parameter.requires_grad}
    if given != wanted or len(given) != len(decayed) + len(undecayed):
        raise ValueError('a parameter would be left out of the optimizer or given twice')
    return [{'params': decayed, 'weight_decay': weight_decay}, {'params': undecayed, 'weight_decay': 0.0}]


def _is_decayed(name: str, parameter: nn.Parameter) -> bool:
    last = name.rsplit('.', 1)[-1]
    return parameter.squeeze().ndim > 1 and not last.endswith('bias') and last not in UNDECAYED_NAMES
