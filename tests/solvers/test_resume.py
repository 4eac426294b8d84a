"""Checkpoints of the epoch loop: what they hold, and what is refused. See also tests/estimators/test_resume.py."""

from __future__ import annotations

import numpy as np
import pytest

from crossfm.atomic import atomic_write
from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.core.rules import RULES
from crossfm.errors import DivergenceError, ModelFileError, OptionError
from crossfm.io.model_file import write_model
from crossfm.kernels.table import Table
from crossfm.solvers import resume as module
from crossfm.solvers.epochs import Plan, Scores, run_epochs
from crossfm.solvers.resume import Resume, checksum


def table() -> Table:
    start = FMParams(0.0, np.zeros(4, np.float32), np.ones((4, 2), np.float32))
    return Table.start(start, RULES["adagrad"], Hyper(learning_rate=0.5))


class Killed(BaseException):
    """Stands for the end of the process."""


def run(path, merits, *, fail_at=None, seconds=0.0, plan=None, own=None, visits=None):
    """Train a table whose weights count the rows visited, ten rows an epoch, in three calls; return it and epochs."""
    own = own or table()
    visits = [] if visits is None else visits

    def visit(part, hyper):
        if fail_at is not None and len(visits) == fail_at:
            raise Killed
        visits.append(part.tolist())
        own.data += np.float32(0.1) * hyper.learning_rate + part[0]
        own.visited += len(part)
        return float(own.data[0, 0])

    def validate():
        merit = merits[round(own.visited / 10) - 1]
        return Scores(-merit, None, merit)

    rng = np.random.default_rng(3)
    keep = None if path is None else Resume(path, seconds)
    done = run_epochs(
        [own], visit, 10, Hyper(learning_rate=0.5), plan or Plan(8, "cosine", patience=2), rng, validate=validate,
        total_weight=10.0, nnz=10, resume=keep,
    )  # fmt: skip
    return own, done


@pytest.fixture(autouse=True)
def three_calls(monkeypatch):
    monkeypatch.setattr("crossfm.solvers.epochs.NONZEROS_A_CALL", 4)


MERITS = [1.0, 5.0, -np.inf, 6.0, 2.0, np.nan, 7.0, 8.0]  # the last two are never seen


def without_seconds(epochs):
    return [{**epoch.as_dict(), "seconds": 0} for epoch in epochs]


@pytest.mark.parametrize("seconds", [0.0, 1e9], ids=["after every call", "after every epoch"])
@pytest.mark.parametrize("fail_at", [1, 2, 3, 4, 7, 9, 11, 12, 14, 16])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path, fail_at, seconds):
    path, seen = tmp_path / "c", []
    whole, epochs = run(None, MERITS, visits=seen)
    before, after = [], []
    with pytest.raises(Killed):
        run(path, MERITS, fail_at=fail_at, seconds=seconds, visits=before)
    again, more = run(path, MERITS, seconds=seconds, visits=after)
    assert np.array_equal(again.data, whole.data)
    assert repr(without_seconds(more)) == repr(without_seconds(epochs))
    redone = fail_at % 3 if seconds else 0
    assert after == seen[fail_at - redone :]


def test_a_run_may_be_killed_again_and_again(tmp_path):
    whole, epochs = run(None, MERITS)
    visits = []
    for _ in range(len(epochs) * 3 - 1):
        one_more = []
        with pytest.raises(Killed):
            run(tmp_path / "c", MERITS, fail_at=1, visits=one_more)
        visits += one_more
    again, more = run(tmp_path / "c", MERITS)
    assert np.array_equal(again.data, whole.data)
    assert repr(without_seconds(more)) == repr(without_seconds(epochs))


class Dice:
    """A table that draws, as dropout does, and says its state itself."""

    def __init__(self):
        self.bias, self.rng = np.zeros(4, np.float32), np.random.default_rng(0)

    def snapshot(self):
        return {"bias": self.bias}, {"rng": self.rng.bit_generator.state}

    def restore(self, arrays, meta):
        self.bias[:], self.rng.bit_generator.state = arrays["bias"], meta["rng"]


def test_a_table_may_say_its_state_itself(tmp_path):
    def train(fail_at=None):
        dice, calls = Dice(), []

        def visit(part, hyper):
            if len(calls) == fail_at:
                raise Killed
            calls.append(part)
            dice.bias += dice.rng.random(4, dtype=np.float32)
            return 0.0

        keep = Resume(tmp_path / "c", 0.0)
        run_epochs(
            [dice], visit, 10, Hyper(learning_rate=1.0), Plan(3), np.random.default_rng(0), total_weight=10.0,
            nnz=10, resume=keep,
        )  # fmt: skip
        keep.remove()
        return dice.bias

    whole = train()
    with pytest.raises(Killed):
        train(fail_at=5)
    assert np.array_equal(train(), whole)


def test_what_diverges_leaves_no_file(tmp_path):
    def visit(part, hyper):
        return float("nan")

    keep = Resume(tmp_path / "c", 0.0)
    with pytest.raises(DivergenceError):
        run_epochs(
            [table()], visit, 10, Hyper(learning_rate=1.0), Plan(3), np.random.default_rng(0), total_weight=1.0,
            nnz=10, resume=keep,
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


def killed(path):
    with pytest.raises(Killed):
        run(path, MERITS, fail_at=5)


@pytest.mark.parametrize("at", [0, 5, 100, 700, -1])
def test_a_file_cut_short_is_refused(tmp_path, at):
    killed(tmp_path / "c")
    (tmp_path / "c").write_bytes((tmp_path / "c").read_bytes()[:at])
    with pytest.raises(ModelFileError, match=r"checkpoint .* cannot be gone on from: .* Delete it or give"):
        run(tmp_path / "c", MERITS)


def test_foreign_files_are_refused_and_stay(tmp_path):
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ModelFileError, match="a text file"):
        run(tmp_path / "text", MERITS)
    write_model(tmp_path / "model", {}, {"kind": "FMClassifier"})
    with pytest.raises(
        ModelFileError, match=r"is a model file \(FMClassifier\), which training would overwrite"
    ):
        run(tmp_path / "model", MERITS)
    assert (tmp_path / "text").read_text() == "hello"


def test_tables_of_another_shape_are_refused(tmp_path):
    killed(tmp_path / "c")
    start = FMParams(0.0, np.zeros(5, np.float32), np.ones((5, 2), np.float32))
    other = Table.start(start, RULES["adagrad"], Hyper(learning_rate=0.5))
    with pytest.raises(ModelFileError, match="tables of another shape"):
        run(tmp_path / "c", MERITS, own=other)


def test_another_training_is_refused_with_what_differs(tmp_path):
    rows = np.arange(3)
    first = Resume(tmp_path / "c", 0.0, seed=8)
    first.belong({"n_factors": 8, "solver": "sgd", "rows": checksum(rows, None)})
    first.generators["order"] = np.random.default_rng(0)
    first.keep(module.Loop(), [table()])
    again = Resume(tmp_path / "c", seed=9)
    assert again.seed == 8
    again.belong({"n_factors": 8, "solver": "sgd", "rows": checksum(rows, None)})
    with pytest.raises(
        OptionError,
        match=r"c belongs to another training: n_factors was 8, is 16, rows not the same; delete it or give another",
    ):
        again.belong({"n_factors": 16, "solver": "sgd", "rows": checksum(rows + 1, None)})
    assert checksum(rows, None) != checksum(None, rows)


def test_a_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    killed(tmp_path / "c")
    before = (tmp_path / "c").read_bytes()

    def crash(descriptor):
        raise Killed

    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", crash)
        with pytest.raises(Killed):
            run(tmp_path / "c", MERITS)
        with pytest.raises(Killed), atomic_write(tmp_path / "d"):
            pass
    assert (tmp_path / "c").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    whole, _ = run(None, MERITS)
    again, _ = run(tmp_path / "c", MERITS)
    assert np.array_equal(again.data, whole.data)
