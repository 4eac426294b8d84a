"""A file is written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from crossfm import atomic
from crossfm.atomic import atomic_write


def test_the_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "a.bin"
    with atomic_write(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_text_is_utf8_with_plain_newlines(tmp_path):
    with atomic_write(tmp_path / "a.txt", "w") as file:
        file.write("é\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9\n"


def write_half(path):
    with atomic_write(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt


def test_an_exception_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_half(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_an_error_of_the_block_itself_passes_unchanged(tmp_path):
    with pytest.raises(FileNotFoundError, match="input"), atomic_write(tmp_path / "a.bin"):
        open(tmp_path / "input").close()
    assert os.listdir(tmp_path) == []


def write_many(path):
    with atomic_write(path) as file:
        file.write(b"many bytes")


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


class FullFile:
    """A file on a disk that has room for its name only."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, data):
        self.file.write(data[:3])
        self.file.flush()
        full_disk()


@pytest.mark.parametrize("fails", ["write", "fsync"])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_full_disk_is_named_and_leaves_nothing_half_written(tmp_path, monkeypatch, fails, old):
    path = tmp_path / "a.bin"
    if old is not None:
        path.write_bytes(old)
    if fails == "fsync":
        monkeypatch.setattr(atomic.os, "fsync", full_disk)
    else:
        create = atomic._create
        monkeypatch.setattr(atomic, "_create", lambda *args: FullFile(create(*args)))
    with pytest.raises(OSError, match=r"no space left.*older file is kept.*a\.bin") as caught:
        write_many(path)
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == ([] if old is None else ["a.bin"])
    assert old is None or path.read_bytes() == old


def test_a_missing_folder_and_a_directory_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="folder to write to does not exist"):
        write_many(tmp_path / "no" / "a.bin")
    with pytest.raises(IsADirectoryError, match="is a directory"):
        write_many(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="permission bits and links are those of POSIX")
def test_permissions_of_the_old_file_and_links_are_kept(tmp_path):
    path, link = tmp_path / "a.bin", tmp_path / "link"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to(path)
    with atomic_write(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_or_device_is_not_replaced_by_a_file(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="a device or a pipe"):
        write_many(pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path):
    path = tmp_path / "a.bin"
    names = (".a.bin.0a1b2c3d4e5f.tmp", ".a.bin.aaaaaaaaaaaa.tmp", ".b.bin.0a1b2c3d4e5f.tmp")
    old, young, other = (tmp_path / name for name in names)
    for left in (old, young, other):
        left.write_bytes(b"half")
    for left in (old, other):
        os.utime(left, (1, 1))
    with atomic_write(path) as file:
        file.write(b"new")
    assert sorted(os.listdir(tmp_path)) == sorted([young.name, other.name, "a.bin"])
