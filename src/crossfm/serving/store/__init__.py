"""What a server remembers: users, items, events, impressions; in SQLite or PostgreSQL."""

from crossfm.serving.store.records import Event, Impression, Known, Outcome, Past
from crossfm.serving.store.store import Store

__all__ = ["Event", "Impression", "Known", "Outcome", "Past", "Store"]
