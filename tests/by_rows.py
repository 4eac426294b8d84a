"""What every machine that is trained row by row promises beyond the common contract."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import oracles
from contracts import COLUMNS, EstimatorContract, clicks
from crossfm.errors import DivergenceError
from crossfm.solvers.callbacks import Checkpoint


class ByRows(EstimatorContract):
    """What the machines trained row by row promise beyond the common contract."""

    def test_many_threads_are_reproducible_when_deterministic(self, data: Any) -> None:
        fits = [
            self.make(columns=COLUMNS, deterministic=True, n_threads=n, max_iter=3).fit(*data)
            for n in (1, 2, 3)
        ]
        for other in fits[1:]:
            assert self.vectors(other).tobytes() == self.vectors(fits[0]).tobytes()
            assert other.params_.bias == fits[0].params_.bias

    def test_racing_threads_learn_as_well(self) -> None:
        table, score = clicks(20_000)  # few rows would be decided by who comes first
        y = self.target(score)
        one = self.make(columns=COLUMNS, max_iter=3).fit(table, y)
        raced = self.make(columns=COLUMNS, max_iter=3, n_threads=2).fit(table, y)
        assert raced.history_[-1]["train_loss"] < 1.3 * one.history_[-1]["train_loss"]

    def test_early_stopping_keeps_the_best_epoch(self, data: Any) -> None:
        table, y = data
        options = {"columns": COLUMNS, "learning_rate": 0.5, "max_iter": 40}
        model = self.make(early_stopping=True, n_iter_no_change=3, **options).fit(
            table, y, eval_set=(table[:50], y[:50])
        )
        losses = [epoch["valid_loss"] for epoch in model.history_]
        assert model.best_iter_ == int(np.argmin(losses)) + 1
        best = self.make(**options | {"max_iter": model.best_iter_}).fit(table, y)
        assert np.array_equal(best.params_.w, model.params_.w)

    def test_early_stopping_holds_rows_back_by_itself(self, data: Any) -> None:
        model = self.make(columns=COLUMNS, early_stopping=True, validation_fraction=0.3).fit(*data)
        assert all("valid_loss" in epoch for epoch in model.history_)

    def test_partial_fit_passes_are_epochs(self, data: Any) -> None:
        once = self.make(columns=COLUMNS, max_iter=1).fit(*data)
        part = self.make(columns=COLUMNS).partial_fit(*data)
        assert np.array_equal(part.params_.w, once.params_.w)
        more = part.partial_fit(*data)
        assert more.n_iter_ == 2
        assert more.history_[1]["train_loss"] < more.history_[0]["train_loss"]

    def test_warm_start_goes_on(self, data: Any) -> None:
        warm = self.make(columns=COLUMNS, warm_start=True, max_iter=2).fit(*data)
        first = warm.history_[-1]["train_loss"]
        warm.fit(*data)
        assert [epoch["epoch"] for epoch in warm.history_] == [1, 2, 3, 4]
        assert warm.history_[-1]["train_loss"] < first

    def test_rows_that_the_models_own_encoder_made_are_taken(self, data: Any, model: Any) -> None:
        rows = model.encoder_.transform(data[0])
        assert np.array_equal(self.raw(model, rows), self.raw(model, data[0]))

    def test_going_on_with_other_rows_keeps_what_was_learnt(self, data: Any) -> None:
        table, y = data
        first, later = (table["user"] < 6).to_numpy(), (table["user"] >= 5).to_numpy()
        warm = self.make(columns=COLUMNS, warm_start=True, max_iter=2).fit(table[first], y[first])
        names, before = warm.encoder_.feature_names(), self.vectors(warm).copy()
        unseen, absent = names.index("user=<unseen>"), names.index("user=0")
        assert not before[unseen].any()
        warm.fit(table[later], y[later])
        assert np.array_equal(self.vectors(warm)[absent], before[absent])  # not in the later rows
        assert self.vectors(warm)[unseen].any()  # users that are new in the later rows

    def test_a_checkpoint_has_no_vectors_that_never_trained(self, data: Any) -> None:
        seen = []
        self.make(
            columns=COLUMNS, max_iter=1, callbacks=[lambda _, m: seen.append(self.vectors(m).copy())]
        ).fit(*data)
        assert not seen[0][
            self.make(columns=COLUMNS, max_iter=1).fit(*data).encoder_.feature_counts == 0
        ].any()

    def test_a_loaded_model_goes_on(self, data: Any, model: Any, tmp_path: Any) -> None:
        import crossfm

        crossfm.save(model, tmp_path / "m.crossfm")
        loaded = crossfm.load(tmp_path / "m.crossfm").partial_fit(*data)
        assert loaded.history_[-1]["train_loss"] < loaded.history_[0]["train_loss"]

    def test_training_that_diverges_is_named_with_a_remedy(self) -> None:
        rng = np.random.default_rng(0)
        X = rng.standard_normal((200, 5)) * 1e4
        y = self.target(X[:, 0] * X[:, 1])
        with pytest.raises(DivergenceError, match=r"epoch 1.*Lower learning_rate"):
            self.make(solver="sgd", learning_rate=10.0).fit(X, y)

    def test_a_checkpoint_is_written_every_epoch_and_survives_an_interrupt(
        self, data: Any, tmp_path: Any
    ) -> None:
        import crossfm

        path = tmp_path / "last.crossfm"

        def interrupt(epoch: Any, model: Any) -> None:
            if epoch.epoch == 3:
                raise KeyboardInterrupt

        model = self.make(columns=COLUMNS, callbacks=[Checkpoint(path), interrupt])
        with pytest.raises(KeyboardInterrupt):
            model.fit(*data)
        assert len(crossfm.load(path).history_) == 3  # the epochs that were complete when it was written

    def test_an_empty_row_scores_the_bias(self) -> None:
        X = csr_matrix(np.array([[1.0, 0], [0, 1], [0, 0], [1, 1]]))
        model = self.make().fit(X, self.target(np.arange(4.0)))
        assert self.raw(model, csr_matrix((1, 2)))[0] == pytest.approx(model.params_.bias, rel=1e-6)

    def test_scores_are_those_of_the_paper(self, data: Any, model: Any) -> None:
        table, _ = data
        rows = model.encoder_.transform(table.head(20))
        params = model.params_
        for row, score in zip(rows.to_csr().toarray(), self.raw(model, table.head(20)), strict=True):
            entries = oracles.entries(row)
            assert score == pytest.approx(
                oracles.fm_score(entries, params.bias, params.w, params.V), rel=1e-4, abs=1e-5
            )

    def test_features_that_never_occurred_are_forgotten(self) -> None:
        X = csr_matrix(np.array([[1.0, 1, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]))
        params = self.make().fit(X, self.target(np.arange(4.0))).params_
        assert params.w[2] == 0
        assert not params.V[2].any()
        assert params.V[0].any()

    @pytest.mark.parametrize("solver", ["adagrad", "ftrl"])
    def test_features_that_come_later_learn_in_partial_fit(self, solver: str) -> None:
        first = csr_matrix(np.array([[1.0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0]]))
        later = csr_matrix(np.array([[0, 0, 1.0, 1], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]))
        y = self.target(np.arange(4.0))
        model = self.make(solver=solver, learning_rate=0.2).fit(first, y)
        assert not self.vectors(model)[2:].any()
        model.partial_fit(later, y)
        start = np.abs(self.vectors(model)[2:])
        assert start.all()
        assert start.max() < 0.3  # near its start, not thrown away by stale state
        for _ in range(30):
            model.partial_fit(later, y)
        assert abs(self.vectors(model)[2] @ self.vectors(model)[3]) > 10 * (start[0] @ start[1])

    def test_it_works_in_pipelines_and_searches(self) -> None:
        rng = np.random.default_rng(0)
        X = rng.standard_normal((120, 4))
        y = self.target(X[:, 0] + X[:, 1] * X[:, 2])
        pipeline = make_pipeline(StandardScaler(), self.make())
        step = pipeline.steps[1][0]
        search = GridSearchCV(pipeline, {f"{step}__n_factors": [0, 4]}, cv=3).fit(X, y)
        assert search.best_params_[f"{step}__n_factors"] == 4  # the pair matters
        assert len(cross_val_score(self.make(), X, y, cv=3)) == 3
