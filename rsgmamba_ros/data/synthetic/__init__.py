"""Seeded synthetic scenes with ground truth: RGB beside depth or thermal, still or moving.

Path of the data: `world` (what is there) -> `rendering` (what the rays hit) -> `sensors` (what cameras make of it).
"""
from rsgmamba_ros.data.synthetic.generator import Scene, SceneGenerator
from rsgmamba_ros.data.synthetic.world import SYNTHETIC_LABELS

__all__ = ['SYNTHETIC_LABELS', 'Scene', 'SceneGenerator']
