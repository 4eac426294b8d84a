"""Structured logs: one JSON object a line on standard error; never keys, bodies or features."""

from __future__ import annotations

import sys
from typing import Any, TextIO

import structlog

from crossfm.serving.json_text import dumps

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def make_log(level: str = "info", file: TextIO | None = None) -> Any:
    """Return a logger that writes to ``file`` (None: standard error); ``log.info("what", key=value)``."""
    return structlog.wrap_logger(
        structlog.WriteLogger(file or sys.stderr),
        processors=[*_shared(), structlog.processors.JSONRenderer(serializer=_text)],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        context_class=dict,
    )


def logging_config(level: str = "info") -> dict[str, Any]:
    """Return what makes uvicorn and other libraries write the same lines; for ``logging.config.dictConfig``.

    Uvicorn's line for each request is left out: the gate writes one that says more.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "crossfm.serving.logs.json_formatter"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": max(level, "info", key=LEVELS.__getitem__).upper()},
        "loggers": {"uvicorn.access": {"level": "ERROR"}, "faiss": {"level": "WARNING"}},
    }


def json_formatter() -> Any:
    """Return a ``logging.Formatter`` that writes JSON."""
    return structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(serializer=_text),
        ],
        foreign_pre_chain=_shared(),
    )


def _shared() -> list[Any]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
    ]


def _text(value: Any, **_: Any) -> str:
    return dumps(value).decode()
