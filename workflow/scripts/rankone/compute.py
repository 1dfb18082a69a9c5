"""Threads, memory allocator and device of the jobs that use torch."""

import ctypes
import platform

import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # <malloc.h>


def set_up(threads: int) -> None:
    """Give torch that many threads, and let glibc keep freed memory.

    Training and evaluation free and allocate the same huge tensors again and again;
    handing them back to the system each time costs page faults, about a third of a
    training step on a CPU. Without glibc nothing changes.
    """
    torch.set_num_threads(threads)
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)


def device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return accelerator or torch.device("cpu")
