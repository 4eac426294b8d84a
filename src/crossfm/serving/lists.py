"""From a request to an answer: what is stored of the user, the variant, both stages, and what is noted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from crossfm.errors import CrossFMError, DataError, StoreError
from crossfm.recommender.ask import Answer, Ask, Found
from crossfm.serving.experiments import Assigned, assign, unit_of
from crossfm.serving.past import Remembered
from crossfm.serving.problems import Problem
from crossfm.serving.registry import Loaded
from crossfm.serving.schemas import Asked, RecommendBody, Who
from crossfm.serving.service import Service
from crossfm.serving.settings import Variant
from crossfm.serving.store import Impression
from crossfm.serving.store.checks import json_object

EXPLAINED = 50  # items of one answer that come with parts
PARTS = 6
OF_BOTH_STAGES = ("n", "allow", "deny", "where", "exclude_seen", "popularity")
OF_THE_LIST = ("diversity", "caps", "freshness", "exploration", "temperature", "seed")
BLIND = "what is stored of the user could not be read, so the answer comes from the model alone"


class Lists:
    """Answers of one request. All of it comes from one version; runs in a scoring thread.

    Parameters
    ----------
    service : Service
    request_id : str
    """

    def __init__(self, service: Service, request_id: str) -> None:
        self.service = service
        self.request_id = request_id
        self.notes: list[str] = []
        self.stranger = False  # a user whom neither the store nor the model knows

    def recommend(self, body: RecommendBody) -> dict[str, Any]:
        """Both stages."""
        self._check_size(body)
        if body.version is None:
            assigned = assign(self.service.settings.experiments, unit_of(body.user, body.session))
            loaded = self.service.registry.get(assigned.variant.version if assigned else None)
        else:
            assigned, loaded = None, self._named(body.version)
        if assigned:
            body = as_variant(body, assigned.variant)
        ask = self.ask(body, loaded)
        answer = loaded.engine.recommend(ask)
        told = self.told(loaded, body.user, answer, attributes=body.attributes)
        if body.explain:
            self._explain(loaded, ask, told["items"])
        if assigned:
            told["experiment"] = {"name": assigned.experiment.name, "variant": assigned.variant.name}
        if body.version is None:
            self._note(loaded, body, answer, assigned)
        return told

    def recall(self, body: Asked) -> dict[str, Any]:
        """The first stage alone."""
        self._check_size(body)
        loaded = self.service.registry.current
        answer = loaded.engine.recall(self.ask(body, loaded))
        return self.told(loaded, body.user, answer, attributes=body.attributes)

    def rank(self, body: Who, items: Sequence[Any], popularity: float, attributes: bool) -> dict[str, Any]:
        """Given items in order."""
        loaded = self.service.registry.current
        ask = replace(self.ask(body, loaded), popularity=popularity, n=max(1, len(items)))
        return self.told(loaded, body.user, loaded.engine.rank(ask, items), attributes=attributes)

    def explain(self, body: Who, item: Any, popularity: float) -> dict[str, Any]:
        """The parts of one score."""
        loaded = self.service.registry.current
        attributes = loaded.engine.item(item)
        if attributes is None:
            raise Problem(404, f"there is no item {item!r}", field="item")
        why = loaded.engine.explain(replace(self.ask(body, loaded), popularity=popularity), item)
        rows = loaded.engine.attributes([one for one, _ in why.because])
        return {
            "request_id": self.request_id,
            "version": loaded.version,
            "user": body.user,
            "item": why.item,
            "score": why.score,
            "bias": why.bias,
            "parts": [asdict(part) for part in why.parts],
            "because": [
                {"item": one, "value": value, "attributes": row}
                for (one, value), row in zip(why.because, rows, strict=True)
            ],
            "ranked": why.ranked,
            "attributes": attributes,
        }

    def direction(self, body: Who) -> dict[str, Any]:
        """Where a query points on the map."""
        loaded = self.service.registry.current
        found = loaded.engine.toward(self.ask(body, loaded))
        x, y, share = found or (None, None, None)
        return {
            "request_id": self.request_id,
            "version": loaded.version,
            "user": body.user,
            "x": x,
            "y": y,
            "share": share,
        }

    def similar(self, item: Any, n: int) -> dict[str, Any]:
        """Items like another."""
        loaded = self.service.registry.current
        if loaded.engine.item(item) is None:
            raise Problem(404, f"there is no item {item!r}", field="id")
        found = loaded.engine.similar(item, n)
        return {
            "request_id": self.request_id,
            "version": loaded.version,
            "item": item,
            "items": _items(found, _rows(loaded, found)),
        }

    # --------------------------------------------------------------- parts

    def ask(self, body: Who, loaded: Loaded) -> Ask:
        """Return the request to the engine, with what is stored of the user as far as the model has such columns."""
        past = self._past(body.user)
        self.stranger = body.user is not None and not (
            past.features or past.history or (past.model_knows and loaded.engine.knows(body.user))
        )
        return ask_of(body, past, loaded)

    def told(self, loaded: Loaded, user: Any, answer: Answer, *, attributes: bool) -> dict[str, Any]:
        """Return an answer as JSON holds it."""
        notes = [*self.notes, *([answer.note] if answer.note else [])]
        rows = _rows(loaded, answer.items, answer.recalled) if attributes else None
        return {
            "request_id": self.request_id,
            "version": loaded.version,
            "user": user,
            "known": answer.known,
            "note": "; ".join(notes) or None,
            "items": _items(answer.items, rows),
            "recalled": _items(answer.recalled, rows),
            "funnel": asdict(answer.funnel),
            "timings": {stage: round(ms, 3) for stage, ms in answer.timings.items()},
            "experiment": None,
        }

    def _past(self, user: Any) -> Remembered:
        if user is None:
            return Remembered()
        try:
            return self.service.past.of(str(user))
        except StoreError:
            self.service.metrics.store_failures.labels("known").inc()
            self.notes.append(BLIND)
            return Remembered()

    def _named(self, version: str) -> Loaded:
        found = self.service.registry.find(version)
        if found is None:
            there = ", ".join(one.version for one in self.service.registry.in_memory())
            raise Problem(
                404,
                f"version {version!r} is not in memory; these are: {there}. Activate it first",
                field="version",
            )
        return found

    def _check_size(self, body: Asked) -> None:
        settings = self.service.settings
        if body.n > settings.max_n:
            raise Problem(422, f"n is {body.n}, but this server gives at most {settings.max_n}", field="n")
        candidates = getattr(body, "candidates", None) or 0
        if candidates > settings.max_candidates:
            raise Problem(
                422,
                f"candidates is {candidates}, but this server takes at most {settings.max_candidates}",
                field="candidates",
            )

    def _explain(self, loaded: Loaded, ask: Ask, items: list[dict[str, Any]]) -> None:
        for one in items[:EXPLAINED]:
            why = loaded.engine.explain(ask, one["item"])
            one["why"] = [asdict(part) for part in why.parts[:PARTS]]

    def _note(self, loaded: Loaded, body: RecommendBody, answer: Answer, assigned: Assigned | None) -> None:
        """Count the answer, and keep what was shown."""
        service = self.service
        for stage, ms in answer.timings.items():
            service.metrics.stages.labels(stage).observe(ms / 1e3)
        shown = [one.item for one in answer.items]
        propensities, asked = to_ask_again(body, answer)
        service.window.answer(loaded.version, answer.timings, asdict(answer.funnel), shown, answer.known)
        names = loaded.engine.context_names(body.context)
        service.course.answer(answer, names, user=body.user is not None, stranger=self.stranger)
        impression = Impression(
            request=self.request_id,
            user=unit_of(body.user, body.session),
            items=[str(item) for item in shown],
            scores=[float(one.score) for one in answer.items],
            version=loaded.version,
            context=body.context,
            experiment=assigned.experiment.name if assigned else None,
            variant=assigned.variant.name if assigned else None,
            propensities=propensities,
            asked=asked,
        )
        try:
            service.store.add_impressions([impression])
        except CrossFMError as exc:  # a list is not withheld because it could not be noted
            service.metrics.store_failures.labels("add_impressions").inc()
            self.notes.append(str(exc))


def ask_of(body: Who, past: Remembered, loaded: Loaded) -> Ask:
    """Return the request to the engine of ``loaded``, with what is remembered of the user."""
    stored = {name: value for name, value in past.features.items() if name in loaded.user_columns}
    ask = Ask(
        user=body.user if past.model_knows else None,
        context=body.context,
        features={**stored, **body.features},
        history=[*past.history, *body.history],
        seen=past.seen,
    )
    if isinstance(body, Asked):
        ask = replace(ask, **{name: getattr(body, name) for name in OF_BOTH_STAGES})
    if isinstance(body, RecommendBody):
        ask = replace(
            ask, n_candidates=body.candidates, **{name: getattr(body, name) for name in OF_THE_LIST}
        )
    return ask


def as_variant(body: RecommendBody, variant: Variant) -> RecommendBody:
    """Return the request with the variant's knobs where the caller has not turned them."""
    knobs = {
        name: value
        for name in ("popularity", "diversity", "temperature", "candidates")
        if (value := getattr(variant, name)) is not None and name not in body.model_fields_set
    }
    return body.model_copy(update=knobs)


def to_ask_again(body: RecommendBody, answer: Answer) -> tuple[list[float] | None, dict[str, Any] | None]:
    """Return the propensities of a drawn list and what was asked, for ``replay``; None for lists that it cannot use.

    A list of a seed that the caller named is no draw of chance. Of the request, what is noted elsewhere, what changes
    no list, and the name of a session are left out.
    """
    chances = [one.propensity for one in answer.items if one.propensity is not None]
    if not body.temperature or body.seed is not None or not chances:
        return None, None
    asked = body.model_dump(
        exclude_defaults=True, exclude={"user", "session", "context", "attributes", "explain"}
    )
    try:
        json_object("asked", asked)
    except DataError:  # thousands of items that are allowed or denied
        return None, None
    return chances, asked


def _rows(loaded: Loaded, *lists: Sequence[Found]) -> dict[Any, Any]:
    """Return the attributes of all items of some lists by id: most are in both."""
    ids = list(dict.fromkeys(one.item for found in lists for one in found))
    return dict(zip(ids, loaded.engine.attributes(ids), strict=True))


def _items(found: Sequence[Found], attributes: dict[Any, Any] | None) -> list[dict[str, Any]]:
    """Return items as JSON holds them, with their ``attributes`` unless these are None."""
    told: list[dict[str, Any]] = []
    for one in found:
        row: dict[str, Any] = {
            "item": one.item,
            "rank": one.rank,
            "score": one.score,
            "probability": one.probability,
            "recall_rank": one.recall_rank,
            "recall_score": one.recall_score,
            "source": one.source,
            "propensity": one.propensity,
        }
        if attributes is not None:
            row["attributes"] = attributes[one.item]
        told.append(row)
    return told
