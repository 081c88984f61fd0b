"""Seeded synthetic scenes with ground truth: RGB with depth or thermal, still or moving.

Path of the data: `world` (surfaces and objects) -> `rendering` (geometry along the rays) -> `sensors` (images).
"""
from rsgmamba_ros.data.synthetic.generator import Scene, SceneGenerator
from rsgmamba_ros.data.synthetic.world import SYNTHETIC_LABELS

__all__ = ['SYNTHETIC_LABELS', 'Scene', 'SceneGenerator']
