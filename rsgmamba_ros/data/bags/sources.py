"""Writes synthetic scenes or folders of images as a bag that looks like the recording of a camera driver."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
import struct

import cv2
import numpy as np

from rsgmamba_ros.data.bags.writer import BagWriter
from rsgmamba_ros.data.messages.images import ImageContent, LABELS
from rsgmamba_ros.data.synthetic import SceneGenerator
from rsgmamba_ros.vocabulary.errors import DatasetError
from rsgmamba_ros.vocabulary.images import Modality

#: First stamp of a written bag, nanoseconds: fixed, so that the same arguments give the same bag.
START_NS = 1_700_000_000_000_000_000

#: Delay of a stream's stamps after those of RGB, and time from stamp to arrival, nanoseconds. A structured-light camera
#: does not take its two images at once.
_STAMP_DELAY_NS: dict[ImageContent, int] = {
    Modality.RGB: 0, Modality.DEPTH: 2_000_000, Modality.THERMAL: 2_000_000, LABELS: 0}
_ARRIVAL_DELAY_NS: dict[ImageContent, int] = {
    Modality.RGB: 5_000_000, Modality.DEPTH: 8_000_000, Modality.THERMAL: 8_000_000, LABELS: 10_000_000}

_FRAME_ID = 'camera_optical'
_IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png')
_COMPRESSED_DEPTH_HEADER = struct.pack('<iff', 0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Shot:
    """The images of one moment.

    Attributes:
        rgb: (H, W, 3) uint8.
        auxiliary: (H, W) in the type of its encoding.
        encoding: of `auxiliary`.
        label_map: (H, W) uint8, None without ground truth.
        rgb_file: content of the JPEG or PNG file of `rgb`, if there is one; a compressed topic carries it unchanged.
    """

    rgb: np.ndarray
    auxiliary: np.ndarray
    encoding: str
    label_map: np.ndarray | None = None
    rgb_file: bytes = b''


def synthetic_shots(count: int, *, seed: int, rate_hz: float, height: int, width: int,
                    auxiliary: Modality) -> Iterator[Shot]:
    """Render a moving synthetic world with ground truth, one shot each period."""
    generator = SceneGenerator(seed, height=height, width=width, auxiliary=auxiliary)
    for index in range(count):
        scene = generator.render(index / rate_hz)
        yield Shot(scene.rgb, scene.encoded_auxiliary, scene.auxiliary_encoding, scene.label_map)


@dataclass(frozen=True)
class ImageFiles:
    """The files of one shot."""

    rgb: Path
    auxiliary: Path
    labels: Path | None


def find_image_files(folder: Path, auxiliary: Modality) -> list[ImageFiles]:
    """List the shots of a folder, in name order.

    Two layouts are supported: 7-Scenes (`*.color.*` beside `*.depth.png`), and folders `rgb/`, `depth/` or `thermal/`,
    and optionally one `*label*/`, whose files have the same stems.

    Raises:
        DatasetError: the folder has neither layout, or no pair of images.
    """
    flat = {path.name.split('.')[0]: path for path in folder.glob('*.color.*')}
    if flat:
        pairs = {stem: (path, folder / f'{stem}.{auxiliary}.png') for stem, path in flat.items()}
        labels: dict[str, Path] = {}
    else:
        others = _by_stem(folder / str(auxiliary))
        pairs = {stem: (path, others.get(stem, Path())) for stem, path in _by_stem(folder / 'rgb').items()}
        labels = next((_by_stem(path) for path in sorted(folder.glob('*label*')) if path.is_dir()), {})
    found = [ImageFiles(rgb, other, labels.get(stem)) for stem, (rgb, other) in sorted(pairs.items())
             if other.is_file()]
    if not found:
        raise DatasetError(f'{folder} has no image pairs; looked for *.color.* beside *.{auxiliary}.png, and for '
                           f'rgb/ beside {auxiliary}/ with files of the same names')
    return found


def file_shots(files: Iterable[ImageFiles], auxiliary: Modality) -> Iterator[Shot]:
    """Read the files of each shot.

    Raises:
        DatasetError: a file is no image, or has the wrong number of channels or bits.
    """
    for item in files:
        rgb = cv2.cvtColor(_read(item.rgb, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        pixels = _read(item.auxiliary, cv2.IMREAD_UNCHANGED)
        encodings = {'uint8': 'mono8', 'uint16': '16UC1'}
        encoding = encodings.get(pixels.dtype.name) if pixels.ndim == 2 else None
        if encoding is None or (auxiliary is Modality.DEPTH and encoding == 'mono8'):
            raise DatasetError(f'{item.auxiliary} holds {pixels.dtype} of shape {pixels.shape}; expected one channel '
                               f'of 16 bits (thermal: 8 or 16)')
        if auxiliary is Modality.DEPTH:
            pixels[pixels == 65535] = 0  # 7-Scenes' mark of an invalid pixel; REP-118 has 0
        label_map = _read(item.labels, cv2.IMREAD_UNCHANGED) if item.labels else None
        yield Shot(rgb, pixels, encoding, label_map, item.rgb.read_bytes())


def write_shots(path: str | Path, shots: Iterable[Shot], *, auxiliary: Modality, rate_hz: float,
                compressed: bool = False, storage: str = 'mcap', compression: str = 'none') -> int:
    """Write shots as a bag with topics /rgb/image, /depth/image or /thermal/image, and /labels/image.

    Args:
        compressed: JPEG for RGB and compressedDepth (thermal: PNG) instead of raw images, on `.../compressed` topics.
        storage: see `BagWriter`.
        compression: see `BagWriter`.

    Returns:
        Number of shots that were written.

    Raises:
        BagError: see `BagWriter`.
    """
    count = 0
    with BagWriter(path, storage=storage, compression=compression) as bag:
        for shot in shots:
            _write_shot(bag, shot, auxiliary, START_NS + round(count / rate_hz * 1e9), compressed=compressed)
            count += 1
    return count


def _write_shot(bag: BagWriter, shot: Shot, auxiliary: Modality, start_ns: int, *, compressed: bool) -> None:
    images: dict[ImageContent, tuple[np.ndarray, str]] = {
        Modality.RGB: (shot.rgb, 'rgb8'), auxiliary: (shot.auxiliary, shot.encoding)}
    if shot.label_map is not None:
        images[LABELS] = (shot.label_map, 'mono8')
    for content, (pixels, encoding) in images.items():
        stamp_ns = start_ns + _STAMP_DELAY_NS[content]
        received_ns = stamp_ns + _ARRIVAL_DELAY_NS[content]
        if compressed and isinstance(content, Modality):
            suffix, format, data = _compress(content, pixels, encoding, shot.rgb_file)
            bag.write_compressed_image(f'/{content}/image/{suffix}', data, format=format, stamp_ns=stamp_ns,
                                       received_ns=received_ns, frame_id=_FRAME_ID)
        else:
            bag.write_image(f'/{content}/image', pixels, encoding=encoding, stamp_ns=stamp_ns,
                            received_ns=received_ns, frame_id=_FRAME_ID)


def _compress(modality: Modality, pixels: np.ndarray, encoding: str, file: bytes) -> tuple[str, str, bytes]:
    """Last part of the topic, format and data, as the plugins of image_transport write them."""
    if modality is Modality.RGB:
        if file:
            return 'compressed', 'jpeg' if file[:2] == b'\xff\xd8' else 'png', file
        jpeg = cv2.imencode('.jpg', cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
        return 'compressed', 'rgb8; jpeg compressed bgr8', jpeg.tobytes()
    png = cv2.imencode('.png', pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    if modality is Modality.DEPTH:
        return 'compressedDepth', f'{encoding}; compressedDepth png', _COMPRESSED_DEPTH_HEADER + png
    return 'compressed', f'{encoding}; png compressed', png


def _by_stem(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in folder.glob('*') if path.suffix.lower() in _IMAGE_SUFFIXES}


def _read(path: Path, flags: int) -> np.ndarray:
    image = cv2.imread(str(path), flags)
    if image is None:
        raise DatasetError(f'{path} is no image that can be read')
    return image
