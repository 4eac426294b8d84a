"""What ``crossfm inspect`` shows of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from crossfm.cli.reading import features, is_rows
from crossfm.cli.show import number, print_table, say, size
from crossfm.errors import DataError, OptionError

LAST = 5  # epochs of the history that are shown
SAMPLE = 10_000  # rows that importance looks at
PARTS = 20  # columns and pairs whose importance is shown


def show(path: Path, model: Any) -> None:
    """Print kind, settings, columns and history."""
    kind = type(model).__name__
    say(f"{path} ({size(path.stat().st_size)}): {kind}")
    if kind == "Recommender":
        _show_recommender(model)
        return
    if hasattr(model, "classes_"):
        levels = kind == "FMOrdinalRegressor"
        classes = [f"{label:g}" if levels else repr(label) for label in model.classes_.tolist()]
        say(
            f"{'levels' if levels else 'classes'}: {', '.join(classes[:10])}"
            + (", ..." if len(classes) > 10 else "")
        )
    if is_network(model):
        _show_network(model)
    first = machines(model)[0][1]
    say(f"features: {first.n_features:,}, factors: {first.n_factors}, bias: {first.bias:.4g}")
    _show_settings(model)
    if getattr(model, "encoder_", None) is None:
        say("fitted on numbered features (a matrix, libsvm or libffm), without names")
    else:
        _show_encoders([("", model.encoder_)])
        for side in model._sides:
            n = side.rows.n_rows - 1
            say(f"side table of {side.key}: {n:,} rows, columns {', '.join(side.columns)}")
    _show_history(model)


def is_network(model: Any) -> bool:
    """Whether a model is one of the neural estimators."""
    from crossfm.estimators.neural import Neural

    return isinstance(model, Neural)


def check_splits(path: Path, model: Any, option: str) -> None:
    """Raise ``OptionError`` for a network: its score has no parts, and its layers no text."""
    if is_network(model):
        raise OptionError(
            f"{option} is for machines whose score is a sum of parts, but {path} holds a network ({model.model}); "
            "train an fm on the same rows for that"
        )


def machines(model: Any) -> list[tuple[str, Any]]:
    """Return (class or "", parameters) of each machine."""
    params = model.retriever_.params_ if type(model).__name__ == "Recommender" else model.params_
    if not isinstance(params, list):
        return [("", params)]
    return [(str(label), part) for label, part in zip(model.classes_.tolist(), params, strict=True)]


def feature_names(model: Any) -> list[str] | None:
    """Return the names of all features, or None where they have numbers only."""
    if type(model).__name__ == "Recommender":
        encoders = [model.users_.encoder, model.context_encoder_, model.items_.encoder]
        return [name for encoder in encoders if encoder is not None for name in encoder.feature_names()]
    if getattr(model, "encoder_", None) is not None:
        return list(model.encoder_.feature_names())
    named = getattr(model, "feature_names_in_", None)
    return None if named is None else [str(name) for name in named]


def show_weights(model: Any, n: int) -> None:
    """Print the features with the largest linear weight, and the length of their factors."""
    names = feature_names(model)
    for label, params in machines(model):
        order = np.argsort(-np.abs(params.w), kind="stable")[:n]
        length = params.lengths()
        rows = [
            (names[at] if names else f"feature {at}", f"{params.w[at]:+.4f}", number(float(length[at])))
            for at in order
        ]
        print_table(f"largest weights{f' of class {label}' if label else ''}", ("feature", "w", "|V|"), rows)


def show_importance(model: Any, data: Any, path: Path) -> None:
    """Print how much each column and pair of columns moves the score over ``data``."""
    n_rows = len(data) if is_rows(data) else data.num_rows
    if n_rows > SAMPLE:
        data = data.take(np.sort(np.random.default_rng(0).choice(n_rows, SAMPLE, replace=False)))
        say(f"importance over {SAMPLE:,} of the {n_rows:,} rows, drawn at random")
    parts = _explained(model, data, path)
    rows = parts.importance()[:PARTS]
    title = f"importance over {path}: deviation of the part of the score"
    print_table(title, ("column, or pair of columns", "deviation"), rows)


def _explained(model: Any, data: Any, path: Path) -> Any:
    if type(model).__name__ != "Recommender":
        return model.explain(features(model, data, path))
    from crossfm.data.rows import join_rows, shift_ids
    from crossfm.recommender.side import need
    from crossfm.scoring.explain import explain_rows

    if is_rows(data):
        raise DataError(f"{path} has numbered features, but a table of interactions is needed")
    need(data, model.item, str(path))
    item = model.items_.ids.positions(data[model.item], model.item)
    data, item = data.take(np.flatnonzero(item >= 0)), item[item >= 0]
    if not len(item):
        raise DataError(f"no item of {path} is in the model's catalogue")
    items = shift_ids(model.items_.rows.take(item), model.retriever_.n_query_features_)
    names = [model.user, *(name for name in model.context if name in data.column_names)]
    return explain_rows(
        join_rows(model.queries(data.select(names)), items), model.retriever_.params_, model.field_names()
    )


def dump(model: Any, path: Path) -> None:
    """Write the parameters as text; with several classes, one file a class."""
    from crossfm.io.dump import dump_text

    names = feature_names(model)
    for label, params in machines(model):
        file = path.with_name(f"{path.stem}.{_plain(label)}{path.suffix}") if label else path
        dump_text(file, params, names)
        say(f"wrote {file} ({params.n_features:,} features)")


def _plain(label: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in label)


def _show_recommender(model: Any) -> None:
    sizes = f"{len(model.users_.ids):,} users, {len(model.items_.ids):,} items"
    say(f"recommends {model.item!r} to {model.user!r}: {sizes}, {int(model.counts_.sum()):,} interactions")
    half = "" if model.half_life is None else f", half-life {model.half_life:g} days"
    say(f"candidates: {model.n_candidates}{half}")
    _show_settings(model.retriever_)
    sides = [
        ("user", model.users_.encoder),
        ("context", model.context_encoder_),
        ("item", model.items_.encoder),
    ]
    _show_encoders([(side, encoder) for side, encoder in sides if encoder is not None])
    _show_history(model.retriever_)


def _show_network(model: Any) -> None:
    """Print the model, its options, and its layers."""
    from crossfm.neural.models.table import find_model

    row = find_model(model.model)
    options = row.options | model._model_options()
    say(f"network: {row.name} ({row.paper})")
    say(f"options: {', '.join(f'{name}={value!r}' for name, value in options.items()) or 'none'}")
    tables = model._machines
    layers = tables[0].layers()
    params = tables[0].params()
    n_layers, n_embeddings = sum(row[-1] for row in layers), params.w.size + params.V.size
    times = f", in each of {len(tables)} networks (a class each)" if len(tables) > 1 else ""
    if model._machine.FIELDS:
        say(f"fields: {params.n_fields}, numbers given to the layers as they are: {len(params.dense_ids)}")
    say(f"parameters: {n_embeddings:,} of embeddings and linear weights, {n_layers:,} of layers{times}")
    print_table("layers", ("layer", "kind", "shapes", "parameters"), layers, left=3)


def _show_settings(model: Any) -> None:
    """Print the settings that differ from the defaults."""
    default = type(model)().get_params(deep=False)
    own = model.get_params(deep=False)
    hidden = ("columns", "callbacks", "verbose")
    changed = [
        f"{name}={value!r}" for name, value in own.items() if name not in hidden and value != default[name]
    ]
    say(f"settings: {', '.join(changed) or 'the defaults'}")


def _show_encoders(encoders: list[tuple[str, Any]]) -> None:
    rows = []
    for side, encoder in encoders:
        sizes = np.bincount(encoder.feature_fields, minlength=len(encoder.columns))
        met = np.bincount(encoder.feature_fields[encoder.seen_mask], minlength=len(encoder.columns))
        for column, n, seen in zip(encoder.columns, sizes.tolist(), met.tolist(), strict=True):
            options = {
                k: v for k, v in column.to_json().items() if v is not None and k not in ("kind", "name")
            }
            words = ", ".join(f"{key}={value}" for key, value in options.items())
            rows.append((column.name, side, column.kind, words, n, seen))
    sided = any(side for side, _ in encoders)
    header = ("column", "side", "kind", "options", "features", "seen")
    keep = [at for at, name in enumerate(header) if sided or name != "side"]
    print_table(
        "columns", [header[at] for at in keep], [[row[at] for at in keep] for row in rows], left=len(keep) - 2
    )


def _show_history(model: Any) -> None:
    history = model.history_
    if not history:  # converted from another program's
        return
    keys = [
        key
        for key in ("train_loss", "valid_loss", "valid_auc", "elbo", "seconds")
        if any(key in epoch for epoch in history)
    ]
    shown = sorted({0, *range(max(0, len(history) - LAST), len(history))})
    rows = []
    for at in shown:
        epoch = history[at]
        best = " best" if "valid_loss" in epoch and epoch["epoch"] == model.best_iter_ else ""
        rows.append((f"{epoch['epoch']}{best}", *(number(epoch.get(key)) for key in keys)))
    title = f"history: {len(history)} epochs" + (
        f", the first and the last {LAST}" if len(history) > LAST + 1 else ""
    )
    print_table(title, ("epoch", *(key.replace("_", " ") for key in keys)), rows)
