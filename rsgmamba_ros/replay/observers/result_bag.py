"""Replayed bundles -> a bag of results in MCAP, on the node's topics, to open beside the input in Foxglove."""
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from rsgmamba_ros.data.bags.writer import BagWriter
from rsgmamba_ros.data.messages.reliability import create_reliability_message
from rsgmamba_ros.data.messages.serialised_images import COMPRESSED_IMAGE_TYPE, IMAGE_TYPE
from rsgmamba_ros.pipeline.monitoring.health_report import HealthLevel, HealthReport
from rsgmamba_ros.pipeline.postprocessing import overlay
from rsgmamba_ros.replay.offline import Observer, ReplayedBundle
from rsgmamba_ros.vocabulary.labels import LabelSpace
from rsgmamba_ros.vocabulary.segmentation import Segmentation

_RELIABILITY_TYPE = 'rsgmamba_ros/msg/Reliability'
_DIAGNOSTICS_TYPE = 'diagnostic_msgs/msg/DiagnosticArray'
_TOPICS = {'/segmentation': IMAGE_TYPE, '/segmentation/overlay/compressed': COMPRESSED_IMAGE_TYPE,
           '/segmentation/reliability': _RELIABILITY_TYPE, '/diagnostics': _DIAGNOSTICS_TYPE}
_MODALITY_TYPE = 'rsgmamba_ros/msg/ModalityReliability'

#: JPEG quality of the overlay: it is for looking at, and 30 times smaller than raw.
_QUALITY = 80
#: Largest width of the overlay, pixels: beside the exact label map, more of it costs more than the network's tenth.
_OVERLAY_WIDTH = 320


class ResultBag(Observer):
    """Writes /segmentation, /segmentation/overlay/compressed, /segmentation/reliability and /diagnostics.

    Label maps are exact (mono8, compressed by chunk); the overlay is JPEG and at most 320 wide. Bag time is that of the
    bundle's release.
    """

    def __init__(self, path: Path, labels: LabelSpace, *, overlay_alpha: float = 0.5):
        self.writer = BagWriter(path, compression='storage')
        self._labels = labels
        self._overlay_alpha = overlay_alpha
        for topic, message_type in _TOPICS.items():
            self.writer.add_topic(topic, message_type)

    def close(self) -> None:
        """End the bag."""
        self.writer.close()

    def segmented(self, result: ReplayedBundle) -> None:
        """Write a result.

        Raises:
            BagError: the disk is full; the bag is whole up to there.
        """
        segmentation = result.segmentation
        if segmentation is None:
            return
        stamp_ns, released_ns, frame_id = segmentation.stamp_ns, result.bundle.released_ns, segmentation.frame_id
        self.writer.write_image('/segmentation', segmentation.label_map, encoding='mono8', stamp_ns=stamp_ns,
                                received_ns=released_ns, frame_id=frame_id)
        image = _at_most(result.bundle.leading_image.pixels, _OVERLAY_WIDTH)
        painted = overlay(image, segmentation.label_map, self._labels, alpha=self._overlay_alpha)
        self.writer.write_compressed_image('/segmentation/overlay/compressed', jpeg(painted, quality=_QUALITY),
                                           format='rgb8; jpeg compressed bgr8', stamp_ns=stamp_ns,
                                           received_ns=released_ns, frame_id=frame_id)
        self._write_reliability(segmentation, released_ns=released_ns)

    def write_health(self, report: HealthReport, now_ns: int) -> None:
        """Write a health report, as the node's /diagnostics."""
        types = self.writer.types.types
        sources: dict[str, dict[str, object]] = {name: {'images': one.images, 'rate_hz': f'{one.rate_hz:.2f}'}
                                                 for name, one in report.inputs.items()}
        sources |= {'synchroniser': {'bundles': report.bundles, **report.drops},
                    'output': {'results': report.results, 'rate_hz': f'{report.output_rate_hz:.2f}'}}
        statuses = []
        for source, values in sources.items():
            findings = [finding for finding in report.findings if finding.source == source]
            statuses.append(types['diagnostic_msgs/msg/DiagnosticStatus'](
                level=max((finding.level for finding in findings), default=HealthLevel.OK),
                name=f'segmentation: {source}', hardware_id='rsgmamba_ros',
                message='; '.join(finding.text for finding in findings) or 'well',
                values=[types['diagnostic_msgs/msg/KeyValue'](key=key, value=str(value))
                        for key, value in values.items()]))
        message = types[_DIAGNOSTICS_TYPE](header=self.writer.header(now_ns), status=statuses)
        self.writer.write('/diagnostics', _DIAGNOSTICS_TYPE, message, received_ns=now_ns)

    def _write_reliability(self, segmentation: Segmentation, *, released_ns: int) -> None:
        types = self.writer.types.types
        message = create_reliability_message(
            segmentation, header=self.writer.header(segmentation.stamp_ns, segmentation.frame_id),
            published_ns=released_ns, message_class=types[_RELIABILITY_TYPE], modality_class=types[_MODALITY_TYPE])
        self.writer.write('/segmentation/reliability', _RELIABILITY_TYPE, message, received_ns=released_ns)


def _at_most(image: np.ndarray, width: int) -> np.ndarray:
    if image.shape[1] <= width:
        return image
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def jpeg(rgb: np.ndarray, *, quality: int) -> bytes:
    """Encode (H, W, 3) uint8 RGB."""
    return cv2.imencode('.jpg', cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
