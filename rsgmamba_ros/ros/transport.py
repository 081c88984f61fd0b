"""The DDS settings that a process needs in its environment before its first participant, so that no images are lost."""
from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path

_VARIABLE = 'FASTRTPS_DEFAULT_PROFILES_FILE'


def use_shipped_profile(environment: MutableMapping[str, str]) -> None:
    """Name the package's Fast DDS profile, unless the user has named one.

    Stock Fast DDS loses most best-effort VGA images: its shared-memory segment is 512 KiB. The publisher's profile
    decides.
    """
    profile = share_folder() / 'config' / 'fastdds.xml'
    if profile.is_file():
        environment.setdefault(_VARIABLE, str(profile))


def profile_setting(middleware: str) -> str:
    """The assignment to a variable that makes a middleware use the shipped profile; empty if none is shipped for it.

    Args:
        middleware: for example `rmw_fastrtps_cpp`.
    """
    config = share_folder() / 'config'
    if middleware.startswith('rmw_fastrtps'):
        return f'{_VARIABLE}={config / "fastdds.xml"}'
    return f'CYCLONEDDS_URI=file://{config / "cyclonedds.xml"}' if middleware.startswith('rmw_cyclonedds') else ''


def loss_remedy() -> str:
    """What to do about images that are lost between two processes."""
    from rclpy.utilities import get_rmw_implementation_identifier  # late, as below

    setting = profile_setting(get_rmw_implementation_identifier())
    return (f'start the camera driver with {setting} in its environment' if setting
            else 'let the camera driver publish reliably, or raise the buffers of the middleware')


def share_folder() -> Path:
    """Folder that holds `config` and `launch`: the source tree, or what an installation made of it."""
    source = Path(__file__).resolve().parents[2]
    if (source / 'package.xml').is_file():
        return source
    # Imported late: the demo's parent process names the profile for others and needs no ROS itself.
    from ament_index_python.packages import get_package_share_directory
    return Path(get_package_share_directory('rsgmamba_ros'))
