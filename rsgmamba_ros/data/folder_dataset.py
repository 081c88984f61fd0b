"""A folder of images in a known layout, as a dataset."""
from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np

from rsgmamba_ros.data.layouts import DatasetLayout, find_image, sample_names
from rsgmamba_ros.data.messages.compressed_images import decode_file
from rsgmamba_ros.data.messages.encodings import equal_channels, upper_8_bits
from rsgmamba_ros.data.palette_images import decode_label_image
from rsgmamba_ros.data.samples import Sample
from rsgmamba_ros.pipeline.preprocessing import sensor_units
from rsgmamba_ros.vocabulary.decoding import DEFAULT_DECODING
from rsgmamba_ros.vocabulary.depth import depth_in_metres, MILLIMETRE_M
from rsgmamba_ros.vocabulary.errors import DatasetError, ImageError
from rsgmamba_ros.vocabulary.images import Modality, StampedImage
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig

#: Sides of an image, pixels; a smaller one is no photograph.
SMALLEST_SIDE = 8


class FolderDataset:
    """Labelled image pairs of one split of a folder, read when they are asked for.

    Args:
        split: see `layouts.sample_names`.

    Raises:
        DatasetError: the folder, a list or the first sample's files are not there; the message lists the paths
            that were tried.
    """

    def __init__(self, root: str | Path, layout: DatasetLayout, *, split: str = ''):
        self.root, self.layout = Path(root), layout
        self.labels, self.auxiliary, self.is_labelled = layout.labels, layout.auxiliary, bool(layout.label)
        if not self.root.is_dir():
            raise DatasetError(f'{str(root)!r} is no folder')
        self.names, self._split = sample_names(self.root, layout, split)
        self.paths(0)
        self._classes = _class_table(layout)

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over layout, names and files; reads every file once.

        Raises:
            DatasetError: a file is missing or cannot be read.
        """
        digest = sha256(repr(self.layout).encode())
        for index, name in enumerate(self.names):
            digest.update(f'{name}\n'.encode())
            for path in self.paths(index):
                digest.update(sha256(_content(path)).digest())
        return digest.hexdigest()

    def __getitem__(self, index: int) -> Sample:
        sample = self._read(index)
        if not self.layout.sequence:
            return sample
        # The first one has no predecessor; its successor is as far away in time.
        return replace(sample, earlier=self._read(index - 1 if index else min(1, len(self) - 1)))

    def _read(self, index: int) -> Sample:
        rgb_path, auxiliary_path, *label_paths = self.paths(index)
        # A four-channel file holds blue, green, red and the auxiliary channel, as OpenCV gives it.
        rgb = cv2.cvtColor(np.ascontiguousarray(self._read_image(rgb_path, colour=True)[..., :3]), cv2.COLOR_BGR2RGB)
        auxiliary = self._auxiliary(auxiliary_path)
        if self.layout.sizes_differ and auxiliary.shape != rgb.shape[:2]:
            auxiliary = cv2.resize(auxiliary, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_NEAREST)
        label_map = self._label_map(label_paths[0]) if label_paths else \
            np.full(rgb.shape[:2], self.labels.ignore_index, np.uint8)
        if min(rgb.shape[:2]) < SMALLEST_SIDE:
            raise DatasetError(f'{rgb_path} is {rgb.shape[0]}x{rgb.shape[1]}; both sides must have at least '
                               f'{SMALLEST_SIDE} pixels')
        for path, image in ((auxiliary_path, auxiliary), *((path, label_map) for path in label_paths)):
            if image.shape != rgb.shape[:2]:
                raise DatasetError(f'{path} is {image.shape[0]}x{image.shape[1]}, its RGB image '
                                   f'{rgb.shape[0]}x{rgb.shape[1]}')
        return Sample(rgb, auxiliary, label_map, self.names[index])

    def _read_image(self, path: Path, *, colour: bool = False) -> np.ndarray:
        return read_image(path, colour=colour, max_pixels=self.layout.max_image_pixels)

    def paths(self, index: int) -> tuple[Path, ...]:
        """Files of a sample: RGB, auxiliary, and labels where the layout has them.

        Raises:
            DatasetError: one is not there.
        """
        layout = self.layout
        try:
            return tuple(find_image(self.root, pattern, name=self.names[index], split=self._split)
                         for pattern in (layout.rgb, layout.auxiliary_image, layout.label) if pattern)
        except DatasetError as error:
            raise DatasetError(f'sample {self.names[index]!r} of {str(self.root)!r}: {error}') from error

    def _auxiliary(self, path: Path) -> np.ndarray:
        pixels = self._read_image(path)
        if self.layout.auxiliary_channel is not None:
            pixels = _channel(pixels, self.layout.auxiliary_channel, path)
        elif pixels.ndim == 3:
            pixels = _grey(pixels, path)
        pixels = np.ascontiguousarray(pixels)
        if self.auxiliary is Modality.DEPTH:
            if pixels.dtype == np.uint8 and self.layout.depth_unit_m == MILLIMETRE_M:
                raise DatasetError(f'{path} has 8 bits a pixel: millimetres would end at 0.255 m. Set depth_unit_m of '
                                   'the layout to the metres of one step, or give 16-bit or float images')
            return depth_in_metres(pixels, unit_m=self.layout.depth_unit_m)
        encoding = {np.dtype(np.uint8): 'mono8', np.dtype(np.uint16): 'mono16'}.get(pixels.dtype, '32FC1')
        image = StampedImage(self.auxiliary, 0, 0, pixels, encoding)
        try:
            return sensor_units(image, PreprocessingConfig(thermal=self.layout.thermal))
        except ImageError as error:
            raise DatasetError(f'{path}: {error}') from error

    def _label_map(self, path: Path) -> np.ndarray:
        try:
            values = decode_label_image(_content(path), str(path), max_pixels=self.layout.max_image_pixels)
        except ImageError as error:
            raise DatasetError(str(error)) from error
        if values is None:
            raise DatasetError(f'{path} is no image, or damaged')
        if values.ndim != 2 or values.dtype not in (np.uint8, np.uint16):
            raise DatasetError(f'{path} is {values.shape} {values.dtype}; label images hold one class index a pixel')
        classes: np.ndarray = self._classes[values]
        return classes


def _class_table(layout: DatasetLayout) -> np.ndarray:
    """Class of every possible value of a label image, (65536,) uint8."""
    table = np.full(65536, layout.labels.ignore_index, np.uint8)
    classes = layout.label_classes or tuple(range(len(layout.labels)))
    for value, label in enumerate(classes):
        if 0 <= value - layout.label_offset < len(table) and 0 <= label < len(layout.labels):
            table[value - layout.label_offset] = label
    return table


def _channel(pixels: np.ndarray, channel: int, path: Path) -> np.ndarray:
    if pixels.ndim != 3 or pixels.shape[2] <= channel:
        raise DatasetError(f'{path} has shape {pixels.shape}; channel {channel} of it was wanted')
    return pixels[..., channel]


def _grey(pixels: np.ndarray, path: Path) -> np.ndarray:
    """The values of a grey image that was saved in colour, (H, W, 3) -> (H, W)."""
    try:
        return equal_channels(pixels)
    except ImageError as error:
        raise DatasetError(f'{path}: {error}') from error


def read_image(path: Path, *, colour: bool = False,
               max_pixels: int = DEFAULT_DECODING.max_image_pixels) -> np.ndarray:
    """An image file as it is stored, colour channels in BGR order; by the decoder of compressed messages.

    Args:
        colour: whether grey becomes colour, and 16 bits become the upper 8.
        max_pixels: a larger image is refused before it is decoded.

    Raises:
        DatasetError: the file cannot be read, is no image, damaged or too large.
    """
    try:
        image = decode_file(np.frombuffer(_content(path), np.uint8), str(path), max_pixels=max_pixels)
    except ImageError as error:
        raise DatasetError(str(error)) from error
    if colour and image.dtype == np.uint16:
        image = upper_8_bits(image)
    if colour and image.dtype != np.uint8:
        raise DatasetError(f'{path} has {image.dtype} pixels; a colour image has 8 or 16 bits a channel')
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if colour and image.ndim == 2 else image


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f'cannot read {path}: {error.strerror}') from error
