"""RSGMamba for ROS 2: multimodal segmentation that goes on, and says so, when a sensor fails."""
import pkgutil

# The generated modules (rsgmamba_ros.msg) are built elsewhere: find them also when this package
# is imported from its source tree.
__path__ = pkgutil.extend_path(__path__, __name__)
