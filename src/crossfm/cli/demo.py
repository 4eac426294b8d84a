"""``crossfm demo``: the main job on real data, in under a minute."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from crossfm.errors import OptionError


def demo(output: Path | None = None, seed: int = 0) -> None:
    """Predict ratings, recommend, explain and classify on MovieLens-100K and breast cancer; print the numbers.

    With ``output`` (a folder, made when it is not there) also write ``report.json``, ``index.html`` and the models.
    Without it nothing is written but the cache of data sets. Same seed, same numbers.

    Raises ``DownloadError`` where the data is neither in the cache nor to be had, ``OptionError`` where ``output``
    is a file.
    """
    from crossfm import datasets
    from crossfm.cli import demo_view as view

    if output is not None and output.exists() and not output.is_dir():
        raise OptionError(
            f"--output is {output}, which is a file, but a folder is expected; give another name"
        )
    started = time.perf_counter()
    view.loading()
    movies, cancer = datasets.load("movielens-100k"), datasets.load("breast-cancer")
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)  # now, not after all the work
    report, models = run(movies, cancer, seed)
    report["seconds"] = time.perf_counter() - started
    written = [] if output is None else write(report, models, output)
    view.ending(report, written, output)


def run(movies: Any, cancer: Any, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Compute and print the four parts; return the report, and the models by file name."""
    from crossfm.cli import demo_cancer, demo_lists, demo_person, demo_ratings
    from crossfm.cli import demo_view as view

    report: dict[str, Any] = {"seed": seed, "machine": machine(), "data": _about(movies, cancer)}
    view.beginning(report)
    report["rating_prediction"], rated = demo_ratings.rate(movies, seed)
    view.ratings(report["rating_prediction"])
    report["recommendation"], recommender, test = demo_lists.recommend(movies, seed)
    view.lists(report["recommendation"])
    report["explanation"] = demo_person.explain(movies, recommender, test)
    view.person(report["explanation"])
    report["classification"], diagnosed = demo_cancer.diagnose(cancer, seed)
    view.cancer(report["classification"])
    models = {
        "ratings-mf.crossfm": rated["mf"],
        "ratings-fm.crossfm": rated["fm"],
        "recommender.crossfm": recommender,
        "breast-cancer.crossfm": diagnosed,
    }
    return report, models


def write(report: dict[str, Any], models: dict[str, Any], folder: Path) -> list[Path]:
    """Write models, page and report, the report last; return the paths."""
    import json

    from crossfm.atomic import atomic_write
    from crossfm.cli.report import page
    from crossfm.cli.steps import Steps

    report["files"] = [*models, "index.html", "report.json"]
    with Steps("files", len(models) + 2) as steps:
        for name, model in models.items():
            with steps(name):
                model.save(folder / name)
        with steps("index.html"), atomic_write(folder / "index.html", "w") as file:
            file.write(page(report))
        with steps("report.json"), atomic_write(folder / "report.json", "w") as file:
            json.dump(report, file, indent=1, allow_nan=False)
            file.write("\n")
    return [folder / name for name in report["files"]]


def machine() -> dict[str, Any]:
    """Return what may matter to the numbers and the time, and names nobody."""
    import os
    import platform
    from importlib.metadata import version

    import crossfm
    from crossfm.kernels.fm import isa

    return {
        "crossfm": crossfm.__version__,
        "cores": os.cpu_count(),
        "instruction_set": isa(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scipy", "pyarrow", "scikit-learn")},
    }


def _about(movies: Any, cancer: Any) -> dict[str, Any]:
    return {
        "movielens-100k": {
            "ratings": movies.ratings.num_rows,
            "users": movies.users.num_rows,
            "movies": movies.items.num_rows,
            "licence": movies.licence,
            "citation": movies.citation,
        },
        "breast-cancer": {
            "rows": cancer.X.num_rows,
            "columns": cancer.X.num_columns,
            "licence": cancer.licence,
            "citation": cancer.citation,
        },
    }
