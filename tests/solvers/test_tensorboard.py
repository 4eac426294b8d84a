"""TensorBoard logs: read back record by record with the library's own message types."""

import struct
import sys

import numpy as np
import pytest

from crossfm import FMClassifier
from crossfm.errors import DataError, OptionError
from crossfm.solvers.tensorboard import TensorBoard


def scalars(folder):
    """Return {tag: [(step, value), ...]} of all event files: length, its checksum, message, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (size,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + size])
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
            at += 16 + size
    return found


def fit(folder, **settings):
    rng = np.random.default_rng(0)
    X = rng.random((200, 5))
    return FMClassifier(max_iter=3, callbacks=[TensorBoard(folder)], random_state=0, **settings).fit(
        X, X[:, 0] > X[:, 1]
    )


@pytest.mark.parametrize(
    "settings", [{"early_stopping": True, "n_iter_no_change": 3, "monitor": "auc"}, {"solver": "vb"}]
)
def test_every_epoch_is_logged_with_what_the_history_has(tmp_path, settings):
    model = fit(tmp_path / "new" / "run", **settings)
    found = scalars(tmp_path / "new" / "run")
    for name, tag in TensorBoard.TAGS.items():
        expected = [(epoch["epoch"], epoch[name]) for epoch in model.history_ if name in epoch]
        assert found.get(tag, []) == [(step, pytest.approx(value, rel=1e-6)) for step, value in expected]


def test_without_validation_there_are_no_validation_scalars(tmp_path):
    fit(tmp_path)
    assert set(scalars(tmp_path)) == {"loss/train", "learning_rate", "seconds"}


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="no TensorBoard logs can be written"):
        TensorBoard(tmp_path / "file" / "run")


def test_a_missing_library_is_said_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(OptionError, match=r"crossfm\[tensorboard\]"):
        TensorBoard(tmp_path)
