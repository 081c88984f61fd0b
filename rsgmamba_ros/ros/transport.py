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


def share_folder() -> Path:
    """Folder that holds `config` and `launch`: the source tree, or what an installation made of it."""
    source = Path(__file__).resolve().parents[2]
    if (source / 'package.xml').is_file():
        return source
    # Imported late: the demo's parent process names the profile for others and needs no ROS itself.
    from ament_index_python.packages import get_package_share_directory
    return Path(get_package_share_directory('rsgmamba_ros'))
