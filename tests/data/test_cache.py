"""The block cache: whole or refused."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from any_rows import any_rows, assert_equal
from crossfm.data import cache as module
from crossfm.data.blocks import concat_rows, slice_rows
from crossfm.data.cache import BlockCache, CacheError, CacheWriter, write_cache
from crossfm.data.rows import Rows

KEY = {"source": [["a", 1, 2]], "settings": "x"}


@pytest.fixture
def small(tmp_path):
    rows = Rows(np.array([0, 5, 3, 4, 1, 2], np.uint32), 6, width=2, target=np.array([0.0, 1, 1]))
    path = tmp_path / "small.crossfm-cache"
    write_cache(path, [slice_rows(rows, 0, 2), slice_rows(rows, 2, 3)], KEY)
    return path, rows


@given(any_rows())
def test_rows_come_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("cache") / "a"
    half = rows.n_rows // 2
    parts = [slice_rows(rows, 0, half), slice_rows(rows, half, rows.n_rows)] if half else [rows]
    write_cache(path, parts, KEY)
    found = BlockCache(path, KEY)
    assert_equal(found.read(range(len(found))), rows)
    backwards = found.read(range(len(found))[::-1])
    if half:
        ends = (
            slice_rows(backwards, rows.n_rows - half, rows.n_rows),
            slice_rows(backwards, 0, rows.n_rows - half),
        )
        backwards = concat_rows(ends)
    assert_equal(backwards, rows)
    targets = [found.read_targets(at)[0] for at in range(len(found))]
    np.testing.assert_array_equal(np.concatenate(targets), rows.target)


def read_all(path):
    cache = BlockCache(path, KEY)
    return cache.read(range(len(cache)))


def test_every_truncation_is_found(small, tmp_path):
    data = small[0].read_bytes()
    for length in range(len(data)):
        path = tmp_path / "cut"
        path.write_bytes(data[:length])
        with pytest.raises(CacheError):
            read_all(path)


def test_every_flipped_byte_is_found(small, tmp_path):
    data = small[0].read_bytes()
    for at in range(len(data)):
        broken = bytearray(data)
        broken[at] ^= 0x41
        other = tmp_path / f"flipped{at}"
        other.write_bytes(broken)
        with pytest.raises(CacheError):
            read_all(other)
        other.unlink()


def test_another_key_another_version_and_no_file_are_refused(small, tmp_path):
    path, _ = small
    with pytest.raises(CacheError, match="of another file or of other settings"):
        BlockCache(path, KEY | {"settings": "y"})
    data = bytearray(path.read_bytes())
    data[-module._FOOTER.size + 8] += 1
    newer = tmp_path / "newer"
    newer.write_bytes(data)
    with pytest.raises(CacheError, match=f"version {module.VERSION + 1} of the format, not {module.VERSION}"):
        BlockCache(newer, KEY)
    with pytest.raises(CacheError, match="cannot be opened"):
        BlockCache(tmp_path / "nothing", KEY)


@pytest.mark.parametrize("index", [b"", b"PK\x03\x04 no zip", b"\x93NUMPY"])
def test_an_index_that_is_none_is_refused_even_with_its_checksum(tmp_path, index):
    path = tmp_path / "odd"
    footer = struct.pack("<8sIIQQ", module.MAGIC, module.VERSION, zlib.crc32(index), 8, len(index))
    path.write_bytes(module.MAGIC + index + footer)
    with pytest.raises(CacheError, match="index cannot be read"):
        BlockCache(path, KEY)


def test_a_writer_that_breaks_off_leaves_no_file(tmp_path, small):
    def blocks():
        yield small[1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_cache(tmp_path / "half", blocks(), KEY)
    assert [path.name for path in tmp_path.iterdir()] == ["small.crossfm-cache"]


def test_arrays_and_settings_are_kept(tmp_path):
    path = tmp_path / "a"
    with path.open("wb") as file:
        writer = CacheWriter(file)
        writer.add(Rows(np.zeros(1, np.uint32), 1, width=1, target=np.zeros(1)))
        writer.finish(KEY, {"labels": ["no"]}, {"column0.bytes": np.arange(3)})
    found = BlockCache(path)
    assert found.meta == {"labels": ["no"]}
    assert found.arrays["column0.bytes"].tolist() == [0, 1, 2]


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="Linux tells what is resident")
def test_reading_keeps_no_pages_of_the_file(tmp_path):
    ids = np.random.default_rng(0).integers(0, 2**24, 4_000_000, np.uint32)
    rows = Rows(ids, 2**24, width=100, target=np.zeros(40_000))
    path = tmp_path / "a"
    write_cache(path, [slice_rows(rows, at, at + 4000) for at in range(0, 40_000, 4000)], KEY)
    cache = BlockCache(path, KEY)

    def mapped():
        text = Path("/proc/self/smaps").read_text()
        found = [part for part in text.split("VmFlags") if str(path) in part]
        return sum(
            int(line.split()[1]) for part in found for line in part.splitlines() if line.startswith("Rss:")
        )

    for at in range(len(cache)):
        cache.read([at])
    assert mapped() < 1000  # kB, of 12 MB
