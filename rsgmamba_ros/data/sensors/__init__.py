"""Models of healthy cameras: a clean image pair becomes what another camera would have seen.

Their looks are clean, not failures: `data/corruptions` holds those, and is applied on top.
"""
from rsgmamba_ros.data.sensors.colour_sensor import apply_colour, ColourSensor, draw_colour_sensor
from rsgmamba_ros.data.sensors.depth_images import apply_depth
from rsgmamba_ros.data.sensors.depth_kinds import DEPTH_SENSOR_SHARES, DEPTH_SENSORS, draw_depth_sensor
from rsgmamba_ros.data.sensors.depth_sensor import DepthSensor
from rsgmamba_ros.data.sensors.pair import draw_sensor_pair, SensorPair
from rsgmamba_ros.data.sensors.thermal_sensor import apply_thermal, draw_thermal_sensor, ThermalSensor
from rsgmamba_ros.data.sensors.view import draw_view, View

__all__ = [
    'DEPTH_SENSORS', 'DEPTH_SENSOR_SHARES', 'ColourSensor', 'DepthSensor', 'SensorPair', 'ThermalSensor', 'View',
    'apply_colour', 'apply_depth', 'apply_thermal', 'draw_colour_sensor', 'draw_depth_sensor', 'draw_sensor_pair',
    'draw_thermal_sensor', 'draw_view',
]
