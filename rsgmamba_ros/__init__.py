"""RSGMamba for ROS 2: multimodal segmentation that continues when a sensor fails and publishes reliability."""
import pkgutil

# The generated modules (rsgmamba_ros.msg) are built elsewhere: find them also when this package
# is imported from its source tree.
__path__ = pkgutil.extend_path(__path__, __name__)
