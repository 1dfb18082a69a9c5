"""Threads, memory allocator, device and precision of the jobs that use torch."""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from rankone.runtime.gpu_locks import lock_gpus

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # <malloc.h>


def set_up(threads: int, keep_memory: bool = False) -> None:
    """Give torch that many threads, and on request let glibc keep freed memory.

    Training and evaluation free and allocate the same huge tensors again and again;
    handing them back to the system each time costs page faults, about a third of a
    training step on a CPU. Without glibc nothing changes.
    """
    torch.set_num_threads(threads)
    if keep_memory and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)


@contextmanager
def own_gpus(wanted: int) -> Iterator[None]:
    """Let the job see `wanted` GPUs that no other job has, where there are GPUs."""
    if torch.cuda.is_initialized():
        raise RuntimeError("CUDA was used before its devices were chosen.")
    with lock_gpus(wanted, torch.cuda.device_count()):
        yield


def device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return accelerator or torch.device("cpu")


def has_bfloat16() -> bool:
    """Whether the device multiplies bfloat16 in hardware.

    Every device can emulate it; on a CPU that is several times slower than float32.
    """
    kind = device().type
    if kind == "cpu":
        found = torch.cpu.get_capabilities()
        return any(found.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return True


def dtype(name: str) -> torch.dtype:
    """A dtype by name; `auto` is bfloat16 where the hardware has it, else float32."""
    if name == "auto":
        return torch.bfloat16 if has_bfloat16() else torch.float32
    return getattr(torch, name)


def autocast(name: str) -> torch.autocast:
    """A region where float32 weights are used in the dtype of that name.

    Weights are cast once a region: do not change them within one.
    """
    chosen = dtype(name)
    return torch.autocast(device().type, chosen, enabled=chosen != torch.float32)
