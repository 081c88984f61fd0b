"""What fails in the demo, and when: one table."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math

from rsgmamba_ros.evaluation.fault_injection import Fault
from rsgmamba_ros.vocabulary.images import Modality

#: Kinds that do not change the content of an image.
_HARMLESS = ('delay', 'clock')


@dataclass(frozen=True)
class Phase:
    """A part of the demo.

    Attributes:
        faults: what is done to whom, as in `fault_injection`, with times from the start of the demo.
    """

    name: str
    start_s: float
    end_s: float
    faults: tuple[Fault, ...]

    @property
    def missing(self) -> tuple[Modality, ...]:
        """Cameras that deliver nothing."""
        return tuple(fault.modality for fault in self.faults if fault.kind == 'missing')

    @property
    def failing(self) -> tuple[Modality, ...]:
        """Cameras whose images are corrupted or missing."""
        return tuple(fault.modality for fault in self.faults if fault.kind not in _HARMLESS)


#: Name, and `modality kind value` of each fault; `x` is depth or thermal. After a failure a camera works for at least
#: one phase, so that its recovery can be seen.
_SCRIPT: tuple[tuple[str, tuple[str, ...]], ...] = (
    ('nominal', ()),
    ('{x} missing', ('x missing',)),
    ('{x} back', ()),
    ('{x} noisy', ('x noise 5',)),
    ('RGB dark', ('rgb darkness 5',)),
    ('{x} frozen', ('x frozen',)),
    ('RGB missing', ('rgb missing',)),
    ('RGB back', ()),
    ('clocks 0.2 s apart', ('x clock 0.2',)),
    ('all well again', ()),
)

#: The corruption family that is a camera's typical noise.
_NOISE = {Modality.DEPTH: 'axial_noise', Modality.THERMAL: 'thermal_noise'}


def demo_phases(auxiliary: Modality, phase_s: float) -> tuple[Phase, ...]:
    """The phases in their order, each `phase_s` seconds long."""
    phases = []
    for index, (name, faults) in enumerate(_SCRIPT):
        start_s, end_s = index * phase_s, (index + 1) * phase_s
        phases.append(Phase(name.format(x=auxiliary), start_s, end_s,
                            tuple(_fault(text, auxiliary, start_s, end_s) for text in faults)))
    return tuple(phases)


def _fault(text: str, auxiliary: Modality, start_s: float, end_s: float) -> Fault:
    who, kind, *value = text.split()
    modality = auxiliary if who == 'x' else Modality(who)
    return Fault(modality, _NOISE[auxiliary] if kind == 'noise' else kind, float(value[0]) if value else 0.0,
                 start_s, end_s)


def fault_script(phases: Sequence[Phase]) -> str:
    """All faults as one text for the sensors."""
    return ' '.join(str(fault) for phase in phases for fault in phase.faults)


def phase_at(phases: Sequence[Phase], time_s: float) -> int | None:
    """Index of the phase at a time after the start; None before the first and after the last."""
    # Stamps are whole nanoseconds; a tick that belongs to the next phase must not fall short of it by rounding.
    index = next((i for i, phase in enumerate(phases) if time_s < phase.end_s - 1e-6), None)
    return None if index is None or time_s < phases[0].start_s - 1e-6 or math.isnan(time_s) else index
