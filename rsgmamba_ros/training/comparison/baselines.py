"""The network and its baselines at equal size and budget: same data, same steps, same seed, same code."""
from __future__ import annotations

from dataclasses import dataclass, replace
import json
from pathlib import Path
from typing import Any

from rsgmamba_ros.data.samples import Dataset
from rsgmamba_ros.evaluation.protocols import conditions_of
from rsgmamba_ros.evaluation.scoring import Progress, score_conditions, summarise
from rsgmamba_ros.network.checkpoint import Checkpoint, load_checkpoint
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.pipeline.segmenter_config import SegmenterConfig
from rsgmamba_ros.training.config import TrainingConfig
from rsgmamba_ros.training.fingerprints import file_digest, json_digest
from rsgmamba_ros.training.runs import train_once
from rsgmamba_ros.training.samples.failures import FailureConfig

#: Training as others publish it: every sample is clean and whole.
NO_FAILURES = FailureConfig(missing=0.0, corrupted=0.0)

#: Columns of the table: heading, and where the figure is in the summary.
COLUMNS = {
    'parameters, M': ('parameters',), 'mIoU': ('miou',),
    'without RGB': ('miou_without', 'rgb'), 'without X': ('miou_without', 'x'), 'EMM': ('emm_avg',),
    'corrupted, severity 3': ('corruption_mean_severity_3',), 'AUROC seen RGB': ('auroc_seen', 'rgb'),
    'AUROC seen X': ('auroc_seen', 'x'), 'AUROC held out RGB': ('auroc_unseen', 'rgb'),
    'AUROC held out X': ('auroc_unseen', 'x'),
}


@dataclass(frozen=True)
class Baseline:
    """One training: how it fuses, and whether sensors fail while it learns.

    Attributes:
        fusion: key of `network.fusion.registry.FUSIONS`; empty for the preset's own.
        restores: whether it is scored with `SegmenterConfig.restore`.
        late_fusion: whether a network without reliability is scored with `network.fusion.late_fusion`, in which all
            readings then count alike: what it does without reliability.
        trained_as: the name of the baseline whose training is scored; empty for its own.
    """

    fusion: str
    with_failures: bool
    restores: bool = False
    late_fusion: bool = False
    trained_as: str = ''

    def config(self, base: TrainingConfig) -> TrainingConfig:
        """This baseline's training, equal to `base` in everything else."""
        config = base.for_fusion(self.fusion)
        if self.with_failures:
            return config
        # As published no network sees one sensor alone, so there is nothing to teach.
        return replace(config, phases=tuple(replace(phase, failures=None) for phase in config.phases),
                       failures=NO_FAILURES, teachers=())


#: What the gates add is told from what the augmentation adds by training each two-modality baseline twice.
BASELINES = {
    'rsgmb': Baseline('', True),
    'rsgmb_restoring': Baseline('', True, restores=True, trained_as='rsgmb'),
    'sum_as_published': Baseline('sum', False),
    'sum_with_failures': Baseline('sum', True),
    'sum_late_fusion': Baseline('sum', True, late_fusion=True, trained_as='sum_with_failures'),
    'cross_scan_as_published': Baseline('cross_scan', False),
    'cross_scan_with_failures': Baseline('cross_scan', True),
    'cross_scan_late_fusion': Baseline('cross_scan', True, late_fusion=True, trained_as='cross_scan_with_failures'),
    'rgb_only': Baseline('rgb_only', True),
    'x_only': Baseline('x_only', True),
}


def train_and_score(name: str, base: TrainingConfig, training: Dataset, validation: Dataset, folder: Path, *,
                    limit: int, progress: Progress = iter) -> dict[str, Any]:
    """Train one of `BASELINES` in its own folder, or resume it, and score it under sensor failure at severity 3.

    A training is used again if configuration, data and weights are the same, see `train_once`; scores are if the
    checkpoint, the validation data and what is scored are the same.

    Args:
        limit: number of validation samples, evenly spaced, on which the networks are scored under corruption and noise;
            0 for all. Clean and with a modality missing they are always scored on all.

    Returns:
        The summary, see `scoring.summarise`, with the number of `parameters`.
    """
    baseline = BASELINES[name]
    own = folder / (baseline.trained_as or name)
    checkpoint = train_once(baseline.config(base), training, validation, own, teachers=folder)
    path = own / (f'scores_{name}.json' if baseline.trained_as else 'scores.json')
    key = json_digest({'weights': file_digest(checkpoint), 'data': validation.digest, 'limit': limit,
                       'seed': base.seed, 'restore': baseline.restores, 'late_fusion': baseline.late_fusion})
    scored = _read_scores(path)
    if scored.get('key') != key:
        loaded = load_checkpoint(checkpoint)
        if baseline.late_fusion:
            loaded.network.late_fusion = True
        config = SegmenterConfig(restore=baseline.restores)
        scored = {'key': key, 'limit': limit, **_score(loaded, config, base, validation, limit=limit,
                                                       progress=progress)}
        path.write_text(json.dumps(scored, indent=1) + '\n')
    return scored


def _read_scores(path: Path) -> dict[str, Any]:
    """Kept scores; empty where there are none that can be read."""
    try:
        scored = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return scored if isinstance(scored, dict) else {}


def _score(checkpoint: Checkpoint, config: SegmenterConfig, base: TrainingConfig, validation: Dataset, *, limit: int,
           progress: Progress) -> dict[str, Any]:
    parameters = sum(parameter.numel() for parameter in checkpoint.network.parameters())
    segmenter = Segmenter(checkpoint, device=base.device, config=config)
    step = max(1, len(validation) // limit) if limit else 1
    conditions = conditions_of('all', base.auxiliary, severities=(3,), has_earlier=validation[0].earlier is not None)
    scores = []
    for groups, indices in ((('clean', 'missing'), range(len(validation))),
                            (('random_missing', 'noisy', 'corruptions'), range(0, len(validation), step))):
        chosen = [condition for condition in conditions if condition.group in groups]
        scores += score_conditions(segmenter, validation, chosen, indices=indices, seed=base.seed, progress=progress)
    return {'parameters': parameters, **summarise(scores, segmenter.modalities)}


def table(summaries: dict[str, dict[str, Any]], base: TrainingConfig) -> str:
    """The comparison as a Markdown table; figures that do not exist are left blank."""
    lines = [f'| network | {" | ".join(COLUMNS)} |', '|---|' + '---|' * len(COLUMNS)]
    for name, summary in summaries.items():
        lines.append(f'| {name} | ' + ' | '.join(_cell(summary, keys, base) for keys in COLUMNS.values()) + ' |')
    return '\n'.join(lines) + '\n'


def _cell(summary: dict[str, Any], keys: tuple[str, ...], base: TrainingConfig) -> str:
    value: Any = summary
    for key in keys:
        value = value.get(str(base.auxiliary) if key == 'x' else key, {})
    if isinstance(value, int):
        return f'{value / 1e6:.2f}'
    return f'{100 * value:.1f}' if isinstance(value, float) and value == value else ''
