"""The node's outputs: label map, confidence, overlay, class names, reliability."""
from __future__ import annotations

from functools import partial

import numpy as np
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from rsgmamba_ros.msg import Reliability
from rsgmamba_ros.pipeline.postprocessing import overlay
from rsgmamba_ros.ros.conversions import image_message, jpeg_message, reliability_message
from rsgmamba_ros.ros.qos import LATCHED, overridable, RESULT
from rsgmamba_ros.vocabulary.images import ImageBundle
from rsgmamba_ros.vocabulary.labels import LabelSpace
from rsgmamba_ros.vocabulary.segmentation import Segmentation

try:
    from vision_msgs.msg import LabelInfo, VisionClass
except ImportError:  # it has no wheels
    LabelInfo = None


class ResultPublishers:
    """Publishes segmentations; may be used from one thread at a time.

    Args:
        node: the publishers are silent while it is not active.
        labels: classes of the label maps.
    """

    def __init__(self, node: LifecycleNode, labels: LabelSpace):
        self._node = node
        self._labels = labels
        self._label_map = self._publisher(Image, 'segmentation')
        self._confidence = self._publisher(Image, 'segmentation/confidence')
        self._overlay = self._publisher(Image, 'segmentation/overlay')
        self._overlay_jpeg = self._publisher(CompressedImage, 'segmentation/overlay/compressed')
        self._reliability = self._publisher(Reliability, 'segmentation/reliability')
        self._label_info = self._publisher(LabelInfo, 'segmentation/label_info', LATCHED) if LabelInfo else None

    def _publisher(self, message_type: type, topic: str, profile: QoSProfile = RESULT) -> LifecyclePublisher:
        publisher: LifecyclePublisher = self._node.create_lifecycle_publisher(message_type, topic,
                                                                              **overridable(profile))
        return publisher

    def publish_labels(self) -> None:
        """Publish the class names once, latched; does nothing where vision_msgs is not installed."""
        if self._label_info is None:
            return
        message = LabelInfo(class_map=[VisionClass(class_id=index, class_name=name)
                                       for index, name in enumerate(self._labels.names)])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._label_info.publish(message)

    def publish(self, segmentation: Segmentation, bundle: ImageBundle, *, now_ns: int, min_confidence: float,
                unlabelled_value: int, overlay_alpha: float) -> None:
        """Publish one result; confidence and overlay are computed only while they have subscribers.

        Args:
            bundle: its leading image is the background of the overlay.
            now_ns: time by the node's clock, nanoseconds.
            min_confidence: pixels below it become unlabelled, 0..1.
            overlay_alpha: weight of the colours, 0..1.
        """
        message = partial(image_message, stamp_ns=segmentation.stamp_ns, frame_id=segmentation.frame_id)
        label_map = with_unlabelled(segmentation, min_confidence, unlabelled_value)
        self._label_map.publish(message(label_map, 'mono8'))
        self._reliability.publish(reliability_message(segmentation, now_ns=now_ns))
        if self._confidence.get_subscription_count():
            self._confidence.publish(message(segmentation.confidence, 'mono8'))
        wants_raw, wants_jpeg = (one.get_subscription_count() for one in (self._overlay, self._overlay_jpeg))
        if wants_raw or wants_jpeg:
            painted = overlay(bundle.leading_image.pixels, label_map, self._labels, alpha=overlay_alpha)
            if wants_raw:
                self._overlay.publish(message(painted, 'rgb8'))
            if wants_jpeg:
                self._overlay_jpeg.publish(jpeg_message(painted, stamp_ns=segmentation.stamp_ns,
                                                        frame_id=segmentation.frame_id))

    def destroy(self) -> None:
        """Destroy the publishers."""
        for publisher in (self._label_map, self._confidence, self._overlay, self._overlay_jpeg, self._reliability,
                          self._label_info):
            if publisher is not None:
                self._node.destroy_lifecycle_publisher(publisher)


def with_unlabelled(segmentation: Segmentation, min_confidence: float, unlabelled_value: int) -> np.ndarray:
    """Give the label map, (H, W) uint8, with `unlabelled_value` where the confidence is below a minimum (0..1)."""
    if min_confidence <= 0:
        return segmentation.label_map
    return np.where(segmentation.confidence < min_confidence * 255, np.uint8(unlabelled_value), segmentation.label_map)
