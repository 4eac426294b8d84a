"""What goes compressed to clients that take it so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crossfm.serving.app import COMPRESSED
from crossfm.serving.registry import Registry
from serving.client import Client
from serving.fakes import FakeEngine

ZIPPED, PLAIN = {"Accept-Encoding": "gzip"}, {"Accept-Encoding": "identity"}


def test_long_answers_are_compressed_and_short_ones_are_not(serve: Callable[..., Client]) -> None:
    client = serve(registry=Registry(engine=FakeEngine(version="one")))
    body = {"user": "1", "history": [str(at) for at in range(1, 4)]}
    short = client.post("/v1/recommend", body, headers=ZIPPED)
    assert "Content-Encoding" not in short.headers
    for at in range(200):
        client.request(
            "PUT", f"/v1/items/new{at}", json={"attributes": {"title": f"A long title of item {at}"}}
        )
    long = client.post("/v1/recommend", {**body, "n": 200}, headers=ZIPPED)
    assert long.headers["Content-Encoding"] == "gzip"
    assert len(long.content) > COMPRESSED
    assert int(long.headers["Content-Length"]) < len(long.content) / 4
    assert long.headers["X-Model-Version"] == "one"
    plain = client.post("/v1/recommend", {**body, "n": 200}, headers=PLAIN)
    assert "Content-Encoding" not in plain.headers
    assert plain.json()["items"] == long.json()["items"]


@pytest.mark.parametrize("name", ["static/style.css", "static/recommend.js"])
def test_files_of_the_page_are_compressed_and_asked_for_again_by_their_tag(client: Client, name: str) -> None:
    zipped, plain = (client.get(f"/{name}", headers=headers) for headers in (ZIPPED, PLAIN))
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert zipped.headers["Vary"] == "Accept-Encoding"
    assert zipped.content == plain.content
    assert zipped.num_bytes_downloaded < 0.5 * plain.num_bytes_downloaded
    again = client.get(f"/{name}", headers={**ZIPPED, "If-None-Match": zipped.headers["ETag"]})
    assert again.status_code == 304
