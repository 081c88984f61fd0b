"""What the C library does with memory that tensors have freed."""
from __future__ import annotations

import ctypes
from functools import lru_cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
LARGEST_ON_HEAP = 32 * 2 ** 20  # glibc allows no more
KEPT = 2 ** 30


@lru_cache(maxsize=1)
def keep_freed_memory() -> bool:
    """Let this process keep up to 1 GiB of freed memory for its next tensors.

    By default glibc hands large blocks back to the system at once, and each forward pays a page fault for every 4 KiB
    that it touches again.

    Returns:
        Whether the C library can do so; others than glibc cannot.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is None:
        return False
    options = {M_TRIM_THRESHOLD: KEPT, M_MMAP_THRESHOLD: LARGEST_ON_HEAP}
    return all([mallopt(option, value) == 1 for option, value in options.items()])
