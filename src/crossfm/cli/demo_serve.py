"""``crossfm demo --serve``: a two-stage recommender on MovieLens-100K behind the server and its page."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Any

from crossfm.cli.extras import needs_serve
from crossfm.cli.show import say

CONTEXT = ("part_of_day", "day")
PARTS = ("night", "morning", "afternoon", "evening")
HOUR, DAY = 3_600, 86_400


def serve_demo(output: Path | None, port: int, seed: int, *, open_page: bool) -> None:
    """Train, write a version, serve until Ctrl-C. ``output`` is the folder; None keeps it beside the data sets."""
    from crossfm import datasets
    from crossfm.datasets.cache import cache_dir

    with needs_serve():
        from crossfm.serving.bundle import write_bundle
        from crossfm.serving.server import serve
        from crossfm.serving.settings import read_settings
    folder = output or cache_dir() / "demo-server"
    folder.mkdir(parents=True, exist_ok=True)
    movies = datasets.load("movielens-100k")
    say(f"training on {movies.ratings.num_rows:,} ratings; with the time of day as context")
    version = write_bundle(folder / "models", fit(movies, seed), notes="crossfm demo --serve, MovieLens-100K")
    say(f"wrote {folder / 'models'}, version {version}")
    settings = read_settings(
        bundle=folder / "models", port=port, state=f"sqlite:///{folder / 'state.db'}", log_level="warning"
    )

    def ready(address: str) -> None:
        say(f"open {address}/ (the API: {address}/docs); Ctrl-C stops it")
        if open_page:
            webbrowser.open(f"{address}/#/user/196")

    serve(settings, ready)


def fit(movies: Any, seed: int) -> Any:
    """Return a recommender whose queries have the time of day, the kind of day and the latest films."""
    from crossfm.recommender.defaults import default_ranker, default_retriever
    from crossfm.recommender.recommender import Recommender

    model = Recommender(
        time="timestamp",
        half_life=14,
        history=20,
        context=CONTEXT,
        title="title",
        columns=columns(),
        retriever=default_retriever(seed),
        ranker=default_ranker(random_state=seed),
    )
    return model.fit(with_context(movies.ratings), movies.users, movies.items)


def columns() -> list[Any]:
    """Return the features: all but the title, which is shown."""
    from crossfm.cli.demo_lists import COLUMNS
    from crossfm.data.columns import Categorical

    return [*COLUMNS, *(Categorical(name) for name in CONTEXT)]


def with_context(ratings: Any) -> Any:
    """Add what the clock (UTC) says of each rating."""
    import numpy as np
    import pyarrow as pa

    seconds = ratings["timestamp"].to_numpy()
    part = np.array(PARTS)[seconds % DAY // HOUR // 6]
    weekday = (seconds // DAY + 3) % 7  # 1 January 1970 was a Thursday: Monday is 0
    kind = np.where(weekday < 5, "weekday", "weekend")
    return ratings.append_column("part_of_day", pa.array(part)).append_column("day", pa.array(kind))
