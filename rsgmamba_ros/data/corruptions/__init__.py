"""Sensor failures of known family and severity, applied in sensor units, for training and for the protocols."""
from rsgmamba_ros.data.corruptions.families import corrupt, Corruption, FAMILIES, families_of
from rsgmamba_ros.data.corruptions.protocol_noise import add_noise, drop_pixels, NOISE_LEVELS
from rsgmamba_ros.data.corruptions.shared import IMAGES_AGO

__all__ = [
    'FAMILIES', 'IMAGES_AGO', 'NOISE_LEVELS', 'Corruption', 'add_noise', 'corrupt', 'drop_pixels', 'families_of',
]
