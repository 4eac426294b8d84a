"""The epoch loop on a table whose only weight is the number of the epoch that moved it last."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.core.rules import RULES
from crossfm.errors import DivergenceError
from crossfm.kernels.table import Table
from crossfm.solvers import epochs as epochs_module
from crossfm.solvers.callbacks import Callback, Callbacks, Checkpoint, Epoch, Record
from crossfm.solvers.epochs import Plan, Scores, run_epochs


class Trial:
    """A run over 10 rows: every call of ``visit`` adds 1 to the weight; merits and failures are given."""

    def __init__(
        self, merits: Any = None, *, fail_at: int | None = None, error: Any = KeyboardInterrupt
    ) -> None:
        self.merits, self.fail_at, self.error = merits, fail_at, error
        hyper = Hyper(learning_rate=0.5)
        self.table = Table.start(
            FMParams(0.0, np.zeros(2, np.float32), np.zeros((2, 1), np.float32)), RULES["sgd"], hyper
        )
        self.parts: list[Any] = []
        self.rates: list[float] = []
        self.loss = 30.0

    @property
    def weight(self) -> float:
        return float(self.table.w[0])

    def run(self, plan: Plan, **options: Any) -> list[Epoch]:
        def visit(part: Any, hyper: Hyper) -> float:
            self.table.w[:] += 1
            self.parts.append(part)
            self.rates.append(hyper.learning_rate)
            if self.fail_at is not None and len(self.parts) == self.fail_at:
                if self.error is None:
                    return float("nan")
                raise self.error
            return self.loss * len(part) / 10

        def validate() -> Scores:
            merit = self.merits[len(self.parts) - 1]
            return Scores(-merit, None, merit)

        settings: dict[str, Any] = {
            "total_weight": 15.0,
            "nnz": 10,
            "rng": np.random.default_rng(0),
            **options,
        }
        rng = settings.pop("rng")
        return run_epochs(
            [self.table], visit, 10, Hyper(learning_rate=0.5), plan, rng,
            validate=validate if self.merits else None, **settings,
        )  # fmt: skip


def test_without_validation_all_epochs_run_and_the_last_counts():
    trial = Trial()
    done = trial.run(Plan(4, schedule="linear"))
    assert [epoch.epoch for epoch in done] == [1, 2, 3, 4]
    assert [epoch.learning_rate for epoch in done] == trial.rates == [0.5, 0.375, 0.25, 0.125]
    assert [epoch.train_loss for epoch in done] == [2.0] * 4  # 30 over a weight of 15
    assert all(epoch.best and epoch.valid_loss is None for epoch in done)
    assert trial.weight == 4


def test_every_epoch_sees_every_row_once_in_a_new_order():
    trial = Trial()
    trial.run(Plan(2))
    assert [sorted(part.tolist()) for part in trial.parts] == [list(range(10))] * 2
    assert trial.parts[0].tolist() != trial.parts[1].tolist() != list(range(10))
    assert trial.parts[0].dtype == np.int64
    straight = Trial()
    straight.run(Plan(2, shuffle=False))
    assert [part.tolist() for part in straight.parts] == [list(range(10))] * 2


def test_long_epochs_come_back_between_parts(monkeypatch):
    monkeypatch.setattr(epochs_module, "NONZEROS_A_CALL", 40)
    heard = []

    class Rows(Callback):
        def on_rows(self, n_rows: int) -> None:
            heard.append(n_rows)

    trial = Trial()
    done = trial.run(Plan(1), nnz=100, callback=Rows())
    assert heard == [4, 4, 2]
    assert sorted(np.concatenate(trial.parts).tolist()) == list(range(10))
    assert done[0].train_loss == 2.0


@pytest.mark.parametrize(
    ("merits", "patience", "tol", "n_epochs", "best"),
    [
        ([1, 2, 3, 4, 5, 6], 2, 0.0, 6, 6),
        ([1, 3, 2, 2, 9, 9], 2, 0.0, 4, 2),
        ([1, 3, 2, 4, 3, 3], 2, 0.0, 6, 4),
        ([1, 1, 1, 1, 1, 1], 1, 0.0, 2, 1),  # no better is not better
        ([1, 1.5, 2, 2.5, 3, 3.5], 3, 1.0, 6, 4),  # 2 is not more than tol above 1, 2.5 is
        ([-np.inf, -np.inf, 1, 0, 0, 0], 3, 0.0, 6, 3),
        ([5, np.nan, 4, 6, 1, 1], 3, 0.0, 6, 4),
    ],
)
def test_early_stopping_waits_and_goes_back_to_the_best(merits, patience, tol, n_epochs, best):
    trial = Trial(merits)
    done = trial.run(Plan(6, patience=patience, tol=tol))
    assert len(done) == n_epochs
    assert trial.weight == best
    assert [epoch.epoch for epoch in done if epoch.best][-1] == best
    assert [epoch.valid_loss for epoch in done] == pytest.approx([-m for m in merits[:n_epochs]], nan_ok=True)


@pytest.mark.parametrize("fail_at", [2, 3, 4, 5])
@pytest.mark.parametrize("error", [KeyboardInterrupt, None], ids=["interrupt", "divergence"])
def test_a_run_that_breaks_off_goes_back_to_the_best_epoch(fail_at, error):
    """Also in the epoch right after the best one, which has moved the weights already."""
    trial = Trial([1, 2, 3, 0, 0, 0], fail_at=fail_at, error=error)
    with pytest.raises(error or DivergenceError):
        trial.run(Plan(6, patience=5))
    assert trial.weight == min(fail_at - 1, 3)


def test_divergence_names_the_epoch_and_a_remedy():
    trial = Trial(fail_at=3, error=None)
    with pytest.raises(
        DivergenceError, match=r"epoch 3: the mean loss is nan. Lower learning_rate \(now 0.5\)"
    ):
        trial.run(Plan(6))
    broken = Trial()
    broken.table.bias[0] = np.inf
    with pytest.raises(ArithmeticError, match="epoch 1"):
        broken.run(Plan(6))


def test_epochs_are_counted_on_after_earlier_ones():
    trial = Trial()
    done = trial.run(Plan(2, schedule="linear"), first_epoch=5)
    assert [epoch.epoch for epoch in done] == [6, 7]
    assert trial.rates == [0.5, 0.25]


class Diary(Callback):
    """Write down what is heard, in a diary that several may share."""

    def __init__(self, name: str, diary: list[str], stop_at: int = 99) -> None:
        self.name, self.diary, self.stop_at = name, diary, stop_at

    def on_start(self, n_rows: int, max_iter: int) -> None:
        self.diary.append(f"{self.name} start {n_rows} {max_iter}")

    def on_rows(self, n_rows: int) -> None:
        self.diary.append(f"{self.name} rows {n_rows}")

    def on_epoch(self, epoch: Epoch, model: Any) -> bool:
        self.diary.append(f"{self.name} epoch {epoch.epoch} of {model}")
        return epoch.epoch == self.stop_at

    def on_end(self) -> None:
        self.diary.append(f"{self.name} end")


def test_callbacks_hear_everything_in_their_order_and_one_can_stop():
    diary: list[str] = []
    both = Callbacks(
        [Diary("a", diary, stop_at=2), Diary("b", diary), lambda epoch, model: diary.append("f")]
    )
    trial = Trial()
    assert len(trial.run(Plan(5), callback=both, model="m")) == 2
    epoch = ["a rows 10", "b rows 10"]
    assert diary == [
        "a start 10 5", "b start 10 5",
        *epoch, "a epoch 1 of m", "b epoch 1 of m", "f",
        *epoch, "a epoch 2 of m", "b epoch 2 of m", "f",
        "a end", "b end",
    ]  # fmt: skip


@pytest.mark.parametrize("where", ["start", "visit"])
def test_callbacks_hear_of_the_end_also_after_an_error(where):
    diary: list[str] = []

    class Broken(Callback):
        def on_start(self, n_rows: int, max_iter: int) -> None:
            if where == "start":
                raise RuntimeError("broken")

    trial = Trial(fail_at=1, error=RuntimeError("broken"))
    with pytest.raises(RuntimeError, match="broken"):
        trial.run(Plan(3), callback=Callbacks([Diary("a", diary), Broken()]))
    assert diary[-1] == "a end"


class Model:
    """Something that callbacks can keep up to date and save."""

    def __init__(self) -> None:
        self.history_: list[Any] = []
        self.saved: list[str] = []

    def save(self, path: str) -> None:
        self.saved.append(path)


def test_the_record_and_the_checkpoint_follow_the_best_epoch():
    model, checkpoint = Model(), Checkpoint("here")
    trial = Trial([1, 3, 2, 4, 1, 1])
    trial.run(Plan(6, patience=2), callback=Callbacks([Record(), checkpoint]), model=model)
    assert [entry["epoch"] for entry in model.history_] == [1, 2, 3, 4, 5, 6]
    assert (model.n_iter_, model.best_iter_) == (6, 4)
    assert model.history_[2]["best"] is False
    assert "valid_auc" not in model.history_[0]
    assert (model.saved, checkpoint.saved_epoch) == (["here"] * 3, 4)
