"""Decompression with a limit of the output: rosbag2 compresses files and messages, MCAP compresses chunks."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import shutil

import lz4.frame
import zstandard

from rsgmamba_ros.data.bags.records import Damage, one_line
from rsgmamba_ros.vocabulary.errors import BagError

ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
ZSTD_SUFFIXES = ('.zstd', '.zst')
#: Largest message or chunk after decompression, bytes. A few bytes of zstd can stand for gigabytes of zeros.
LARGEST_OUTPUT = 2**30
#: A small file must not take much memory or disk: output of more than so many times its size is refused above these
#: sizes, bytes.
LARGEST_RATIO, SMALL_OUTPUT, SMALL_FILE = 1000, 2**28, 2**30
#: Bytes that stay free on the disk on which a file is decompressed.
_DISK_RESERVE = 2**28
_PIECE = 2**20


def decompress(data: bytes | memoryview, compression: str, *, size: int = LARGEST_OUTPUT) -> bytes:
    """Decompress a chunk or a message.

    Args:
        compression: '' (none), 'zstd' or 'lz4', as MCAP names them.
        size: greatest size of the output, bytes.

    Raises:
        ValueError: the data are damaged or too large, or the compression is unknown.
    """
    if not compression:
        return bytes(data)
    limit = min(LARGEST_OUTPUT, max(SMALL_OUTPUT, LARGEST_RATIO * len(data)))
    if size > limit and size != LARGEST_OUTPUT:
        raise ValueError(f'it would take {size} bytes; of {len(data)} bytes at most {limit} are made')
    size = min(size, limit)
    output = bytearray()
    try:
        for piece in _pieces(data, compression, size + 1):
            output += piece
            if len(output) > size:
                raise ValueError(f'it takes more than {size} bytes')
    except (zstandard.ZstdError, RuntimeError, EOFError) as error:
        raise ValueError(f'{compression}: {one_line(error)}') from error
    return bytes(output)


def decompress_message(data: bytes | memoryview) -> bytes | memoryview:
    """Decompress a message if rosbag2 compressed it: then it begins with the magic bytes of zstd, else it cannot.

    Raises:
        ValueError: it is damaged or too large.
    """
    return decompress(data, 'zstd') if bytes(data[:4]) == ZSTD_MAGIC else data


def decompress_file(path: Path, folder: Path, damage: Damage) -> Path:
    """Decompress a file of a bag into a folder; if it is damaged, up to the damage.

    Raises:
        BagError: the disk has no room for it, or nothing can be decompressed.
    """
    target = folder / (path.stem if path.suffix in ZSTD_SUFFIXES else path.name)
    limit, written = max(SMALL_FILE, LARGEST_RATIO * path.stat().st_size), 0
    try:
        with path.open('rb') as source, target.open('wb') as output:
            reader = zstandard.ZstdDecompressor().stream_reader(source)
            while piece := reader.read(_PIECE):
                if shutil.disk_usage(folder).free < _DISK_RESERVE:
                    raise BagError(f'no room in {folder} to decompress {path}; run `zstd -d {path.name}` on a larger '
                                   'disk, and read the result')
                written += output.write(piece)
                if written > limit:
                    raise BagError(f'{path} stands for more than {LARGEST_RATIO} times its size; if that is right, run '
                                   f'`zstd -d {path.name}` and read the result')
    except zstandard.ZstdError as error:
        if not target.stat().st_size:
            raise BagError(f'cannot decompress {path}: {one_line(error)}') from error
        damage.lose(f'{path.name} is damaged and was decompressed in part ({one_line(error)})')
    return target


def _pieces(data: bytes | memoryview, compression: str, limit: int) -> Iterator[bytes]:
    if compression == 'zstd':
        yield from zstandard.ZstdDecompressor().read_to_iter(bytes(data))
    elif compression == 'lz4':
        decompressor = lz4.frame.LZ4FrameDecompressor()
        yield decompressor.decompress(bytes(data), max_length=limit)
    else:
        raise ValueError(f'compression {compression!r} is not read')
