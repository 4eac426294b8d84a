from __future__ import annotations

import numpy as np
import pytest

from crossfm.core import memory
from crossfm.core.memory import available, parse_size, resident, show_size
from crossfm.errors import MemoryLimitError, OptionError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (1234, 1234),
        ("500", 500),
        ("500MB", 500_000_000),
        ("1.5 gb", 1_500_000_000),
        ("2GiB", 2 * 2**30),
        ("64KiB", 65536),
        ("1_000kB", 1_000_000),
        ("1TB", 10**12),
    ],
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "1 XB", "1e9", "0", "0.1B", True, None, "1.5.2MB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(OptionError, match="500MB"):
        parse_size(text)


def test_sizes_are_shown_rounded_up():
    assert (show_size(1), show_size(5_000_001), show_size(12_340_000_000)) == ("1 MB", "6 MB", "12.3 GB")


def test_the_resident_memory_grows_by_what_is_written_and_falls_again():
    before = resident()
    block = np.ones(5_000_000)  # 40 MB
    during = resident()
    del block
    assert during - before > 30_000_000
    assert resident() < during - 20_000_000


def test_the_free_memory_is_a_number_of_bytes_where_the_system_tells():
    free = available()
    assert free is None or free > 1_000_000


@pytest.mark.parametrize(
    ("limit", "used", "dropped"),
    [
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ],
)
def test_what_a_container_may_have_counts(tmp_path, monkeypatch, limit, used, dropped):
    monkeypatch.setattr(memory, "_GROUPS", (tmp_path / "none", tmp_path))
    (tmp_path / limit).write_text("9000000\n")
    (tmp_path / used).write_text("7000000\n")
    (tmp_path / "memory.stat").write_text(f"anon 5000000\n{dropped} 1500000\n")
    assert available() == 3_500_000
    with pytest.raises(MemoryLimitError, match="4 MB of memory are free"):
        memory.check_memory(3_600_000, "less of it")
    (tmp_path / limit).write_text("max\n")
    assert available() != 3_500_000
