"""The exception tree: everything that this package raises on purpose for its user."""


class RSGMambaError(Exception):
    """An expected error: its message states what was wrong, where, what was expected and what to do.

    Command-line tools print it as one line and exit with status 1; the node logs it, throttled, and goes on.
    """


class ConfigError(RSGMambaError, ValueError):
    """A configuration file or parameter cannot be used."""


class ImageError(RSGMambaError, ValueError):
    """An image cannot be used: encoding, size, stamp or content."""


class CheckpointError(RSGMambaError, ValueError):
    """A checkpoint file is damaged, of another model, or could run code."""


class BackendUnavailableError(RSGMambaError, RuntimeError):
    """An operator backend, device or precision was asked for by name and is not available here."""


class BagError(RSGMambaError, ValueError):
    """A bag is damaged, or lacks the topics or types that were asked for."""


class DatasetError(RSGMambaError, ValueError):
    """A dataset folder is not in a supported layout, or is incomplete."""


class ProfileError(RSGMambaError, ValueError):
    """A sensor profile is damaged, of other cameras, or made of images that are not those of a healthy sensor."""
