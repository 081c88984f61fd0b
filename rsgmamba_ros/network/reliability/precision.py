"""The reliability is a measurement: it is estimated in float32 whatever the network's precision is."""
from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def in_float32(device_type: str) -> AbstractContextManager[object]:
    """A context in which autocast does not change the precision."""
    available = torch.amp.is_autocast_available(device_type)
    return torch.autocast(device_type, enabled=False) if available else nullcontext()
