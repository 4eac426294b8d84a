"""Prometheus metrics of one app; with several workers they share files, so that any worker answers for all."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

SECONDS = (
    0.0005,
    0.001,
    0.002,
    0.003,
    0.005,
    0.0075,
    0.01,
    0.015,
    0.02,
    0.03,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    10,
)
SHARED = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """Counts and times. Labels have few values: routes as written in the API, never paths, ids or keys."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        made = self.registry
        self.requests = Counter(
            "crossfm_requests", "Requests by route and status.", ["route", "status"], registry=made
        )
        self.seconds = Histogram(
            "crossfm_request_seconds", "Time to answer.", ["route"], buckets=SECONDS, registry=made
        )
        self.stages = Histogram(
            "crossfm_stage_seconds",
            "Time of a stage of an answer.",
            ["stage"],
            buckets=SECONDS,
            registry=made,
        )
        self.in_flight = Gauge(
            "crossfm_in_flight", "Requests being answered.", multiprocess_mode="livesum", registry=made
        )
        self.model = Gauge(
            "crossfm_model_info",
            "1 for the version that answers.",
            ["version"],
            multiprocess_mode="livemax",
            registry=made,
        )
        self.refused = Counter("crossfm_bundles_refused", "Bundles that were refused.", registry=made)
        self.store_failures = Counter(
            "crossfm_store_failures", "Times that the store failed.", ["action"], registry=made
        )
        self.events = Counter("crossfm_events", "Events of feedback that were stored.", registry=made)
        self.dropped = Gauge(
            "crossfm_impressions_dropped",
            "Impressions that did not fit into the queue.",
            multiprocess_mode="livesum",
            registry=made,
        )
        if SHARED not in os.environ:
            for collector in (ProcessCollector, PlatformCollector, GCCollector):
                collector(registry=self.registry)

    def serves(self, version: str, old: str | None = None) -> None:
        """Note the version that answers from now on."""
        if old is not None and old != version:
            self.model.labels(old).set(0)
        self.model.labels(version).set(1)

    def text(self) -> bytes:
        """Return the exposition, of all workers where there are several."""
        if SHARED in os.environ:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry)
        return generate_latest(self.registry)
