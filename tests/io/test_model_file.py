"""The .crossfm file: round trips, and every way that we know to break it."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import pickle
import random
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from crossfm.errors import ModelFileError
from crossfm.io import model_file, read_model, write_model

DTYPES = ["?", "i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8", ">f4", ">i8"]
ARRAYS = {
    "w": np.arange(3, dtype=np.float32),
    "ids": np.array([[1], [2]], np.uint16),
    "seen": np.array([True]),
}
META = {"kind": "FMRegressor", "note": "é\t", "settings": {"k": 2, "rate": 0.5, "list": [1, None, False]}}

arrays = st.dictionaries(
    st.text(max_size=8).filter(lambda name: name != "__metadata__"),
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    ),
    max_size=4,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def good(tmp_path):
    """A small valid file and its bytes."""
    path = tmp_path / "model.crossfm"
    write_model(path, ARRAYS, META)
    return path, path.read_bytes()


def reads(path, content):
    path.unlink(missing_ok=True)  # to truncate a file makes some file systems wait for the disk
    path.write_bytes(content)
    return read_model(path)


def sealed(header: dict | bytes, data: bytes = b"") -> bytes:
    """A hostile file with a correct digest."""
    if isinstance(header, dict):
        header = json.dumps(header, separators=(",", ":")).encode()
    head = len(header).to_bytes(8, "little") + header
    return head.replace(b"0" * 64, hashlib.sha256(head + data).hexdigest().encode(), 1) + data


def header_with(version="1", meta="{}", **tensors) -> dict:
    metadata = {"format": "crossfm", "format_version": version, "sha256": "0" * 64}
    return {"__metadata__": {**metadata, "crossfm_version": "0.1.0", "crossfm": meta}, **tensors}


def tensor(dtype="F32", shape=(1,), offsets=(0, 4)) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


# ------------------------------------------------------------------------------------------- round trips


@settings(max_examples=80, deadline=None)
@given(arrays, st.dictionaries(st.text(), json_values, max_size=4))
def test_arrays_and_metadata_come_back(tmp_path_factory, arrays, meta):
    path = tmp_path_factory.mktemp("files") / "model.crossfm"
    write_model(path, arrays, meta)
    got, got_meta = read_model(path)
    assert got_meta == meta
    assert got.keys() == arrays.keys()
    plain = load_file(path)  # the plain library agrees
    for name, array in arrays.items():
        assert got[name].dtype == array.dtype.newbyteorder("=")
        assert got[name].shape == array.shape
        np.testing.assert_array_equal(got[name], array)
        np.testing.assert_array_equal(plain[name], array)
        assert got[name].flags.aligned
        assert got[name].flags.writeable


def test_the_plain_safetensors_library_reads_the_metadata(good):
    with safe_open(good[0], framework="numpy") as file:
        metadata = file.metadata()
        assert set(file.keys()) == set(ARRAYS)
    assert metadata["format"] == "crossfm"
    assert metadata["format_version"] == "1"
    assert json.loads(metadata["crossfm"]) == META


def test_arrays_in_any_memory_order_come_back(tmp_path):
    whole = np.arange(24, dtype=np.float64).reshape(4, 6)
    views = {
        "T": whole.T,
        "step": whole[::2, ::-3],
        "fortran": np.asfortranarray(whole),
        "scalar": np.float32(2),
    }
    write_model(tmp_path / "m", views, {})
    got, _ = read_model(tmp_path / "m")
    for name, view in views.items():
        np.testing.assert_array_equal(got[name], view)
    assert got["scalar"].shape == ()


def test_the_same_model_gives_the_same_bytes(good, tmp_path):
    write_model(tmp_path / "again", dict(reversed(ARRAYS.items())), META)
    assert (tmp_path / "again").read_bytes() == good[1]


def test_the_arrays_start_aligned_in_the_file(tmp_path):
    for extra in range(8):
        write_model(tmp_path / "m", {"w": np.zeros(3)}, {"pad": "x" * extra})
        size = (tmp_path / "m").stat().st_size
        assert (size - 24) % 8 == 0


def test_text_that_looks_like_an_empty_digest_comes_back(tmp_path):
    zeros = "0" * 64
    write_model(tmp_path / "m", {zeros: np.zeros(64, np.uint8) + ord("0")}, {zeros: zeros})
    arrays, meta = read_model(tmp_path / "m")
    assert list(arrays) == [zeros]
    assert meta == {zeros: zeros}


def test_tuples_come_back_as_lists(tmp_path):
    write_model(tmp_path / "m", {}, {"hidden": (64, 32)})
    assert read_model(tmp_path / "m") == ({}, {"hidden": [64, 32]})


def test_a_file_above_100_megabytes_comes_back(tmp_path):
    V = np.arange(26_000_000, dtype=np.float32)
    write_model(tmp_path / "m", {"V": V}, {})
    got, _ = read_model(tmp_path / "m")
    assert np.array_equal(got["V"], V)
    (tmp_path / "m").unlink()


def test_reading_takes_the_memory_of_the_arrays_and_no_more(tmp_path):
    arrays = {name: np.ones(1 << 20) for name in "abcd"}
    write_model(tmp_path / "m", arrays, {})
    tracemalloc.start()
    try:
        got, _ = read_model(tmp_path / "m")
        whole, peak = tracemalloc.get_traced_memory()
        assert peak < 34 << 20  # of 32: a block to hash, and none of the file
        del got["a"]
        assert tracemalloc.get_traced_memory()[0] < whole - (7 << 20)  # each is freed by itself
    finally:
        tracemalloc.stop()


# -------------------------------------------------------------------------------------------- corruption


def test_a_file_cut_short_at_any_length_is_refused(good):
    path, content = good
    for length in range(len(content)):
        with pytest.raises(ModelFileError):
            reads(path, content[:length])


def test_any_flipped_bit_is_found(good):
    path, content = good
    for place in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            with pytest.raises(ModelFileError):
                reads(path, bytes(changed))


def test_any_inserted_deleted_or_swapped_byte_is_found(good):
    path, content = good
    rng = random.Random(0)
    for place in range(len(content)):
        byte = bytes([rng.randrange(256)])
        for changed in (
            content[:place] + byte + content[place:],
            content[:place] + content[place : place + 1] + content[place:],
            content[:place] + content[place + 1 :],
            content[:place]
            + content[place + 1 : place + 2]
            + content[place : place + 1]
            + content[place + 2 :],
        ):
            if changed != content:
                with pytest.raises(ModelFileError):
                    reads(path, changed)


@pytest.mark.parametrize("tail", [b"\0", b" ", b"\n", b"x" * 1000])
def test_appended_bytes_are_found(good, tail):
    with pytest.raises(ModelFileError, match="damaged"):
        reads(good[0], good[1] + tail)


def test_an_extra_header_key_or_other_spacing_is_found(good):
    path, content = good
    length = int.from_bytes(content[:8], "little")
    header, data = content[8 : 8 + length], content[8 + length :]
    other = json.loads(header)
    other["__metadata__"]["extra"] = "1"
    for changed in (
        json.dumps(other, separators=(",", ":")).encode(),
        header.replace(b'"w":', b'"w" :'),
        header + b" ",
    ):
        with pytest.raises(ModelFileError, match="damaged"):
            reads(path, len(changed).to_bytes(8, "little") + changed + data)


def test_what_a_damaged_file_needs_is_said(good):
    path, content = good
    with pytest.raises(ModelFileError, match=r"model\.crossfm is damaged.*Copy it again"):
        reads(path, content[:-1] + b"\xff")
    with pytest.raises(ModelFileError, match="cut short"):
        reads(path, content[:100])
    with pytest.raises(ModelFileError, match="is empty"):
        reads(path, b"")


# ----------------------------------------------------------------------------------------- foreign files


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "a" * 200)
    return out.getvalue()


class Bomb:
    def __reduce__(self):
        return os._exit, (7,)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (zipped(), "a zip archive"),
        (pickle.dumps(Bomb()), "a Python pickle"),
        (pickle.dumps(list(range(1000))), "a Python pickle"),
        (b"\x1f\x8b" + bytes(50), "a gzip file"),
        (b"1 3:1 5:0.5\n" * 50, "a text file"),
        ("user,größe\n".encode() * 100, "a text file"),
        (b"short", "a text file"),
        (b"{}", "a text file"),
        (random.Random(0).randbytes(1000), "unknown form"),
        (bytes(1000), "unknown form"),
        (b"\xff" * 8 + b"{" * 100, "safetensors"),
        ((2**40).to_bytes(8, "little") + b"\0" * 100, "unknown form"),
    ],
)
def test_a_foreign_file_is_named_and_refused(tmp_path, content, name):
    with pytest.raises(ModelFileError, match=f"{name}.*not a crossfm model file"):
        reads(tmp_path / "m", content)


def test_a_safetensors_file_of_others_is_refused(tmp_path):
    save_file({"w": np.zeros(3)}, tmp_path / "m", metadata={"format": "np"})
    with pytest.raises(ModelFileError, match="safetensors file that crossfm did not write"):
        read_model(tmp_path / "m")


def test_a_missing_file_a_directory_and_a_device_are_refused(tmp_path):
    with pytest.raises(ModelFileError, match="there is no file"):
        read_model(tmp_path / "none")
    with pytest.raises(ModelFileError, match="is a directory"):
        read_model(tmp_path)
    with pytest.raises(ModelFileError, match="device or pipe"):
        read_model(os.devnull)


@pytest.mark.parametrize("claim", [2**63, 2**64 - 1, 10**8, 10**8 + 1])
def test_a_header_that_claims_to_be_huge_allocates_nothing(good, claim):
    path, content = good
    with pytest.raises(ModelFileError, match="cut short or damaged"):
        reads(path, claim.to_bytes(8, "little") + content[8:])


@pytest.mark.parametrize("version", ["2", "10", "999999999"])
def test_a_newer_version_asks_for_an_upgrade(tmp_path, version):
    with pytest.raises(ModelFileError, match=f"version {version}.*newer crossfm. Upgrade"):
        reads(tmp_path / "m", sealed(header_with(version)))


# ------------------------------------------------------------------------- hostile, with a correct digest


def test_the_hostile_files_below_are_read_when_they_are_not_hostile(tmp_path):
    arrays, meta = reads(tmp_path / "m", sealed(header_with(meta='{"a":1}', w=tensor()), bytes(4)))
    assert arrays["w"].tolist() == [0.0]
    assert meta == {"a": 1}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (header_with(w=tensor(dtype="BF16", offsets=(0, 2))), "BF16"),
        (header_with(w=tensor(dtype=["F32"])), "has type"),
        (header_with(w=tensor(shape=[2**62, 2**62])), "not at bytes"),
        (header_with(w=tensor(shape=[-1])), "list of sizes"),
        (header_with(w=tensor(shape=[True])), "list of sizes"),
        (header_with(w=tensor(shape=[1.0])), "list of sizes"),
        (header_with(w=tensor(offsets=[4, 8])), "not at bytes"),
        (header_with(w=tensor(offsets=[0])), "not at bytes"),
        (header_with(w=tensor(shape=[2], offsets=[0, 8])), "not at bytes"),
        (header_with(w=tensor(), v=tensor()), "not at bytes"),
        (header_with(w=tensor(shape=[1] * 5000)), "NumPy cannot hold"),
        (header_with(w=tensor("BOOL", [4])), "neither 0 nor 1"),
        (header_with(w=None), "lacks type"),
        (header_with(w={**tensor(), "more": 1}), "lacks type"),
        (header_with(), "take 0 bytes, but 4"),
        (header_with(meta="[]", w=tensor()), "no object"),
        (header_with(meta="{", w=tensor()), "no JSON"),
        (header_with(meta='{"a":NaN}', w=tensor()), r"meta\['a'\] is nan"),
        (header_with(meta='{"a":1e999}', w=tensor()), r"meta\['a'\] is inf"),
        (header_with(meta='{"a":' * 50_000 + "1" + "}" * 50_000, w=tensor()), "nested"),
        (header_with(meta='{"a":' * 150 + "1" + "}" * 150, w=tensor()), "nested"),
        (header_with(meta='{"a":' + "9" * 10_000 + "}", w=tensor()), "JSON|bits"),
        (header_with(meta=None, w=tensor()), "not text"),
        ({"__metadata__": {**header_with()["__metadata__"], "more": "1"}}, "other keys"),
    ],
)
def test_hostile_content_is_refused(tmp_path, header, message):
    with pytest.raises(ModelFileError, match=message):
        reads(tmp_path / "m", sealed(header, b"\x02\x02\x02\x02"))


@pytest.mark.parametrize("rest", [b'"crossfm":"{}"}', b'"a":' + b"[" * 200_000, b'"a":"\xff\xfe"}}', b""])
def test_a_hostile_header_that_is_no_json_is_refused(tmp_path, rest):
    start = b'{"__metadata__":{"format":"crossfm","format_version":"1","sha256":"' + b"0" * 64 + b'",'
    with pytest.raises(ModelFileError, match=r"no JSON|nested|other keys"):
        reads(tmp_path / "m", sealed(start + rest))


# ----------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize(
    "array",
    [np.array(["text"]), np.array([None]), np.zeros(1, complex), np.zeros(1, "M8[s]"), np.zeros(1, "f4,i4")],
)
def test_an_array_type_that_the_file_cannot_hold_is_named(tmp_path, array):
    with pytest.raises(ModelFileError, match="array 'names' has type"):
        write_model(tmp_path / "m", {"names": array}, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["__metadata__", 3, "\ud800"])
def test_an_array_name_that_the_file_cannot_hold_is_refused(tmp_path, name):
    with pytest.raises(ModelFileError, match="name"):
        write_model(tmp_path / "m", {name: np.zeros(1)}, {})


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({"a": [1, float("nan")]}, r"meta\['a'\]\[1\] is nan"),
        ({"a": float("inf")}, r"meta\['a'\] is inf"),
        ({"a": {1: 2}}, r"meta\['a'\] has the key 1"),
        ({"a": {1, 2}}, r"meta\['a'\] is \{1, 2\}"),
        ({"a": np.int64(3)}, r"meta\['a'\] is .*numpy\.int64"),
        ({"a": b"bytes"}, r"meta\['a'\] is b'bytes'"),
        ({"a": 1 << 1024}, "1025 bits"),
    ],
)
def test_metadata_that_is_no_finite_json_is_named(tmp_path, meta, message):
    with pytest.raises(ModelFileError, match=message):
        write_model(tmp_path / "m", {}, meta)
    assert list(tmp_path.iterdir()) == []


def test_metadata_nested_in_themselves_are_refused(tmp_path):
    loop: dict = {}
    loop["a"] = loop
    with pytest.raises(ModelFileError, match="nested more than 100"):
        write_model(tmp_path / "m", {}, loop)


def test_metadata_too_large_for_a_header_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(model_file, "MAX_HEADER", 1000)
    with pytest.raises(ModelFileError, match="Put long lists"):
        write_model(tmp_path / "m", {}, {"vocabulary": ["x"] * 1000})


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_leaves_the_old_file(good, monkeypatch, number):
    path, content = good

    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError):
        write_model(path, {"w": np.zeros(100_000)}, {})
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_is_missing_and_a_directory_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="folder"):
        write_model(tmp_path / "missing" / "m", {}, {})
    with pytest.raises(IsADirectoryError, match="is a directory"):
        write_model(tmp_path, {}, {})
    assert list(tmp_path.iterdir()) == []
