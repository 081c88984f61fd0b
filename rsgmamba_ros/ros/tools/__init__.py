"""Nodes around the segmentation node: player, recorder, evaluator, synthetic sensors, demo."""
