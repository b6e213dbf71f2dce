"""The most memory that a piece of work takes beyond what was in use before it."""

import contextlib
import ctypes
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def taken(work: Callable[[], object], device: "torch.device") -> float:
    """MiB of this process, or of a GPU's memory; NaN where the system has no /proc. Runs the work once."""
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    forget_peak()
    now = resident("VmRSS")
    work()
    return max(resident("VmHWM") - now, 0.0) / 2**20 if not math.isnan(now) else math.nan


def resident(field: str) -> float:
    """Bytes: VmRSS now, VmHWM at most since the last `forget_peak`; NaN where the system has no /proc."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return math.nan
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def forget_peak() -> None:
    """Start the peak of memory anew; where that is not allowed, the peak is that of the process so far.

    What the C library keeps of freed memory is given back first, as far as it can be: else it would count as in use.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
