"""How many threads torch and the compiled kernels compute with on a CPU."""
from __future__ import annotations

import torch

from rsgmamba_ros.vocabulary.errors import ConfigError

#: What torch took when it was loaded: the cores of this process, or OMP_NUM_THREADS.
OWN_CHOICE = torch.get_num_threads()


def use_threads(threads: int) -> None:
    """Compute with so many threads from now on; 0 for torch's own choice.

    It counts for the calling thread and for those that first compute after it: OpenMP keeps a number for each thread.

    Raises:
        ConfigError: the number is negative.
    """
    if threads < 0:
        raise ConfigError(f'threads is {threads}; expected a number of threads, or 0 for the choice of torch')
    wanted = threads or OWN_CHOICE
    # Only where it changes something: with a number that it was given, MKL no longer adapts to the machine.
    if torch.get_num_threads() != wanted:
        torch.set_num_threads(wanted)
