"""How much memory there is, how much this process has, and sizes as people write them."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from crossfm.errors import MemoryLimitError, OptionError

_M_MMAP_THRESHOLD = -3
_GROUPS = (
    Path("/sys/fs/cgroup"),
    Path("/sys/fs/cgroup/memory"),
)  # versions 2 and 1, as a container sees its own
_UNITS = {"": 1, "b": 1}
_UNITS |= {f"{letter}b": 1000 ** (at + 1) for at, letter in enumerate("kmgt")}
_UNITS |= {f"{letter}ib": 1024 ** (at + 1) for at, letter in enumerate("kmgt")}


def parse_size(text: Any, name: str = "memory_limit") -> int:
    """Return bytes of 500_000_000, "500MB" (millions), "1.5 GB", "512MiB" (2**20); else ``OptionError``."""
    found = re.fullmatch(r"([0-9][0-9_]*(?:\.[0-9]+)?)\s*([A-Za-z]*)", str(text).strip())
    unit = _UNITS.get(found[2].lower()) if found else None
    size = 0 if found is None or unit is None else int(float(found[1].replace("_", "")) * unit)
    if isinstance(text, bool) or size < 1:
        raise OptionError(f"{name}={text!r}, but it must be a size such as 500MB, 1.5GB or 512MiB")
    return size


def show_size(size: float) -> str:
    """Write a number of bytes in MB, or GB from 10 of them on; rounded up."""
    if size >= 10e9:
        return f"{size / 1e9:.1f} GB"
    return f"{-int(-size // 1_000_000):,} MB"


def keep_tidy() -> None:
    """Let arrays of 1 MB and more be given back as soon as they are freed, for the rest of the process.

    glibc would keep up to 32 MB of each size in each thread for later use, which counts as memory of the process.
    """
    with suppress(AttributeError, OSError, TypeError):  # glibc has it, others do not
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1 << 20)


def release() -> None:
    """Give back what was freed but is still held, where the C library and Arrow can do so."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
    if "pyarrow" in sys.modules:
        sys.modules["pyarrow"].default_memory_pool().release_unused()


def resident() -> int:
    """Return the bytes of memory that this process holds now (at most so far, where only that is known)."""
    release()
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    try:
        import resource
    except ImportError:  # Windows: nothing in the standard library tells
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def available() -> int | None:
    """Return the bytes of memory that are free for new work, or None where the system does not say.

    What a container may have is less than what its machine has: the smaller of the two counts.
    """
    free = [size for size in (_free_of_machine(), *map(_free_of_group, _GROUPS)) if size is not None]
    return min(free) if free else None


def _free_of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line for line in lines if line.startswith("MemAvailable:")]
    return 1024 * int(found[0].split()[1]) if found else None


def _free_of_group(folder: Path) -> int | None:
    """Return what is left of a control group's limit; file pages that can be dropped count as free."""
    version_2 = (folder / "memory.max").exists()
    limit, used, dropped = (
        ("memory.max", "memory.current", "inactive_file")
        if version_2
        else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    )
    try:
        most, now = int((folder / limit).read_text()), int((folder / used).read_text())
        pages = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return max(most - now + int(pages.get(dropped, 0)), 0)
    except (OSError, ValueError):  # "max": no limit
        return None


def check_memory(needed: float, advice: str) -> None:
    """Raise ``MemoryLimitError`` when ``needed`` bytes are more than is free; ``advice`` says what takes less."""
    free = available()
    if free is not None and needed > free:
        raise MemoryLimitError(
            f"the machine would take {show_size(needed)} for its weights and the optimizer's state, but "
            f"{show_size(free)} of memory are free. Take {advice}."
        )
