"""Estimators to and from model files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from crossfm.core.options import Hyper
from crossfm.core.rules import NO_RULE, SGDA, find_rule
from crossfm.data.encode import Encoder
from crossfm.data.side import SideTable
from crossfm.io.parts import part
from crossfm.kernels import fm
from crossfm.kernels.machine import Machine
from crossfm.solvers.gibbs import Chain
from crossfm.solvers.vb import Posterior


class Stored(BaseEstimator):  # type: ignore[misc]
    """The part of an estimator that saves it and makes it again."""

    _machine: ClassVar[Machine] = fm
    _of_one_fit: ClassVar[set[str]] = {"checkpoint", "checkpoint_seconds"}  # settings that are not saved
    _machines: list[Any]  # its training tables after training, what its from_arrays gives after loading
    encoder_: Encoder | None
    _sides: Sequence[SideTable] = ()
    n_features_in_: int
    history_: list[dict[str, Any]]
    best_iter_: int
    n_iter_: int
    _chain: Chain | None = None  # of solver="mcmc"
    _posterior: Posterior | None = None  # of solver="vb"
    followed_: dict[str, Any]  # how far a growing file has been learnt; see crossfm.cli.follow_run

    def save(self, path: Any, *, with_state: bool = False) -> None:
        """Write the model to a ``.crossfm`` file; see ``crossfm.save``."""
        from crossfm.io.model_file import write_model

        arrays, meta = self.to_state()
        if with_state:
            self._add_optimizer(arrays, meta)
        write_model(path, arrays, meta)

    def _add_optimizer(self, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> None:
        """Add the state of the optimizer; a model that was loaded without and not trained since has none."""
        tables = [m for m in self._machines if hasattr(m, "state") and m.rule is not NO_RULE]
        if len(tables) < len(self._machines):
            return
        meta["optimizer"] = tables[0].rule.name
        meta["precision"] = "bfloat16" if tables[0].rule.half else "float32"
        for number, table in enumerate(tables):
            arrays[f"machine.{number}.state"], arrays[f"machine.{number}.bias_state"] = table.state()
            if getattr(table, "penalty", None) is not None:
                arrays[f"machine.{number}.penalty"] = table.penalty[:, : 1 + table.n_factors]

    def to_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything a loaded model needs: arrays, and JSON-able settings."""
        check_is_fitted(self, "_machines")
        arrays: dict[str, NDArray[Any]] = {}
        for number, machine in enumerate(self._machines):
            for name, array in params_of(machine).to_arrays().items():
                arrays[f"machine.{number}.{name}"] = array
        meta: dict[str, Any] = {
            "kind": type(self).__name__,
            "n_machines": len(self._machines),
            "settings": _plain_settings(self.get_params(deep=False), self._of_one_fit),
            "n_features_in": int(self.n_features_in_),
            "feature_names_in": [str(n) for n in getattr(self, "feature_names_in_", [])],
            "history": self.history_,
            "best_iter": int(self.best_iter_),
            "n_iter": int(self.n_iter_),
        }
        if self._chain is not None:
            own, meta["chain"] = self._chain.to_state()
            arrays |= {f"chain.{name}": array for name, array in own.items()}
        if self._posterior is not None:
            own, meta["posterior"] = self._posterior.to_state()
            arrays |= {f"posterior.{name}": array for name, array in own.items()}
        if hasattr(self, "followed_"):
            meta["followed"] = self.followed_
        if self.encoder_ is not None:
            encoder_arrays, meta["encoder"] = self.encoder_.to_state()
            arrays |= {f"encoder.{name}": array for name, array in encoder_arrays.items()}
        for number, side in enumerate(self._sides):
            own, known = side.to_state()
            arrays |= {f"side.{number}.{name}": array for name, array in own.items()}
            meta.setdefault("sides", []).append(known)
        return arrays, meta

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> Any:
        """Rebuild the model that ``to_state`` described."""
        model = cls(**meta["settings"])
        model._machines = [
            model._machine.from_arrays(part(arrays, f"machine.{i}.")) for i in range(meta["n_machines"])
        ]
        if "optimizer" in meta:
            rule, hyper = (
                find_rule(meta["optimizer"], meta.get("precision", "float32")),
                Hyper(learning_rate=1.0),
            )  # of which the state keeps nothing
            for i, machine in enumerate(model._machines):
                model._machines[i] = table = model._machine.table(params_of(machine), rule, hyper)
                table.set_state(arrays[f"machine.{i}.state"], arrays[f"machine.{i}.bias_state"])
                if rule is SGDA:
                    found = arrays[f"machine.{i}.penalty"]
                    table.penalty = np.zeros((len(found), 1 + table.padded), np.float32)
                    table.penalty[:, : 1 + table.n_factors] = found
        model.n_features_in_ = meta["n_features_in"]
        if meta["feature_names_in"]:
            model.feature_names_in_ = np.array(meta["feature_names_in"], dtype=object)
        model.history_, model.best_iter_ = meta["history"], meta["best_iter"]
        model.n_iter_ = meta["n_iter"]
        if "chain" in meta:
            model._chain = Chain.from_state(part(arrays, "chain."), meta["chain"])
        if "posterior" in meta:
            model._posterior = Posterior.from_state(part(arrays, "posterior."), meta["posterior"])
        beliefs = model._chain.prior if model._chain is not None else model._posterior
        if beliefs is not None and "groups" not in meta["settings"]:  # an array, which settings do not hold
            model.groups = beliefs.group.astype(np.int64)
        if "followed" in meta:
            model.followed_ = meta["followed"]
        model.encoder_ = None
        if "encoder" in meta:
            own = {
                name: array.copy() for name, array in part(arrays, "encoder.").items()
            }  # lets go of the file's
            model.encoder_ = Encoder.from_state(own, meta["encoder"])
        model._sides = [
            SideTable.from_state(part(arrays, f"side.{number}."), known)
            for number, known in enumerate(meta.get("sides", []))
        ]
        return model


def params_of(machine: Any) -> Any:
    """Return the parameters of a machine: a training table, or parameters already."""
    return machine.params() if hasattr(machine, "params") else machine


def _plain_settings(params: dict[str, Any], without: set[str]) -> dict[str, Any]:
    """Keep the settings that JSON can hold; columns live in the encoder, callbacks are not saved."""
    plain = {}
    for name, value in params.items():
        if name in without:
            continue
        if isinstance(value, np.generic):
            value = value.item()
        if _is_plain(value):
            plain[name] = value
    return plain


def _is_plain(value: Any) -> bool:
    """Whether JSON can hold ``value``; a tuple comes back as a list."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(inner) for key, inner in value.items())
    return value is None or isinstance(value, (bool, int, float, str))
