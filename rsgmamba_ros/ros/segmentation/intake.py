"""Messages -> bundles: conversion, synchroniser and its deadline, all on the executor's thread."""
from __future__ import annotations

from collections.abc import Callable

from rclpy.clock import Clock, JumpThreshold, TimeJump
from rclpy.clock_type import ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from rsgmamba_ros.pipeline.synchronisation.synchroniser import Synchroniser
from rsgmamba_ros.ros.conversions import image_from_message, nanoseconds
from rsgmamba_ros.ros.segmentation.diagnostics import Diagnostics
from rsgmamba_ros.ros.segmentation.subscriptions import InputListener, InputSubscription
from rsgmamba_ros.vocabulary.decoding import Decoding
from rsgmamba_ros.vocabulary.errors import RSGMambaError
from rsgmamba_ros.vocabulary.images import ImageBundle, Modality

#: A timer with no deadline to wait for is cancelled; this is only its period at creation.
_IDLE_NS = 3_600_000_000_000

#: Seconds between two looks at the publishers of the inputs.
_GRAPH_PERIOD_S = 0.5


class Intake:
    """Feeds the synchroniser from the topics and passes its bundles on.

    Args:
        synchroniser: reset when this is destroyed.
        transports: for each modality, see `subscriptions.message_type`.
        input_qos: see `InputSubscription`.
        decoding: of the messages.
        on_bundle: takes every bundle, in the order of the leading stamps.
        on_time_jump: called when the node's clock went back.
    """

    def __init__(self, node: Node, synchroniser: Synchroniser, *, transports: dict[Modality, str], input_qos: str,
                 decoding: Decoding, diagnostics: Diagnostics, on_bundle: Callable[[ImageBundle], None],
                 on_time_jump: Callable[[], None]):
        self._node = node
        self._synchroniser = synchroniser
        self._decoding = decoding
        self._clock = node.get_clock()
        self._diagnostics = diagnostics
        self._on_bundle = on_bundle
        self._on_time_jump = on_time_jump
        self._timer = node.create_timer(_IDLE_NS * 1e-9, self._on_deadline)
        self._timer.cancel()
        threshold = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
        self._jump_handle = self._clock.create_jump_callback(threshold, post_callback=self._on_jump)
        listener = InputListener(self._on_message, diagnostics.mismatched, self._on_lost)
        #: One for each modality.
        self.inputs = {modality: InputSubscription(node, modality, transport=transport, input_qos=input_qos,
                                                   listener=listener)
                       for modality, transport in transports.items()}
        # By a steady clock: publishers also come and go while the simulated time stands still.
        self._graph_timer = node.create_timer(_GRAPH_PERIOD_S, self._follow_publishers,
                                              clock=Clock(clock_type=ClockType.STEADY_TIME))

    def destroy(self) -> None:
        """Destroy subscriptions and timer; images that wait for their partner are dropped and counted."""
        self._node.destroy_timer(self._graph_timer)
        for one in self.inputs.values():
            one.destroy()
        self._jump_handle.unregister()
        self._node.destroy_timer(self._timer)
        self._synchroniser.reset()

    def _follow_publishers(self) -> None:
        for one in self.inputs.values():
            one.follow_publishers()

    def _on_message(self, modality: Modality, message: Image | CompressedImage) -> None:
        now_ns = self._clock.now().nanoseconds
        if now_ns == 0:
            self._diagnostics.failed(f'{modality}.drop.no_clock', 'use_sim_time is set and nothing has come on '
                                     '/clock: images are dropped until it does')
            return
        self._diagnostics.arrived(modality, stamp_ns=nanoseconds(message.header.stamp))
        try:
            image = image_from_message(message, modality, received_ns=now_ns, decoding=self._decoding)
            self._hand_on(self._synchroniser.push(image, now_ns=now_ns))
        except RSGMambaError as error:
            self._diagnostics.failed(f'{modality}.drop.unreadable', str(error))
        except Exception as error:  # one message is lost; the next one may be good
            self._diagnostics.failed(f'{modality}.drop.internal_error', f'{modality}: unexpected {error!r}')

    def _on_lost(self, modality: Modality, count: int) -> None:
        self._diagnostics.dropped(f'{modality}.drop.lost_in_transport', count)

    def _on_deadline(self) -> None:
        try:
            self._hand_on(self._synchroniser.poll(self._clock.now().nanoseconds))
        except Exception as error:  # as above
            self._diagnostics.failed('synchroniser.drop.internal_error', f'synchroniser: unexpected {error!r}')

    def _hand_on(self, bundles: list[ImageBundle]) -> None:
        for bundle in bundles:
            self._on_bundle(bundle)
        self._set_timer()

    def _set_timer(self) -> None:
        deadline_ns = self._synchroniser.next_deadline_ns()
        if deadline_ns is None:
            self._timer.cancel()
            return
        self._timer.timer_period_ns = max(deadline_ns - self._clock.now().nanoseconds, 1)
        self._timer.reset()

    def _on_jump(self, jump: TimeJump) -> None:
        self._node.get_logger().warning(f'the clock jumped by {jump.delta.nanoseconds * 1e-9:.3f} s: starting afresh')
        self._synchroniser.reset()
        self._timer.cancel()
        self._on_time_jump()
