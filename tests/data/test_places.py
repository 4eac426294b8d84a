import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfm.data.places import LEAST_LATER, Places

TEXTS = st.lists(st.text(max_size=6), unique=True, max_size=40)


def few(text: str) -> int:
    """Return a hash of four values: nearly every search meets another text first."""
    return sum(text.encode("utf8", "surrogatepass")) % 4 - 2


def keys_of(texts: list[str]) -> pa.Array:
    return pa.array(texts, pa.large_string())


@pytest.mark.parametrize("hashed", [hash, few, lambda text: 0])
@given(texts=TEXTS, later=TEXTS, asked=TEXTS)
def test_places_are_those_of_a_dict_whatever_collides(hashed, texts, later, asked):
    later = [text for text in later if text not in texts]
    places = Places(keys_of(texts), hashed=hashed)
    more = places.with_later(later)
    wanted = [*asked, *texts, *later]
    for one, known in ((places, texts), (more, [*texts, *later])):
        oracle = {text: at for at, text in enumerate(known)}
        expected = [oracle.get(text, -1) for text in wanted]
        assert one.find(wanted).tolist() == expected
        assert [one.get(text) for text in wanted] == expected
        assert len(one) == len(known)


def test_none_is_nowhere_and_nothing_finds_nothing():
    assert Places(keys_of([])).find(["a"]).tolist() == [-1]
    assert Places(keys_of(["a"])).find([]).tolist() == []
    assert Places(keys_of(["a"])).find([None, "a"]).tolist() == [-1, 0]


def test_many_that_came_later_go_into_the_table():
    texts = [f"a{at}" for at in range(10)]
    later = [f"b{at}" for at in range(LEAST_LATER + 1)]
    places = Places(keys_of(texts)).with_later(later[:600])
    assert places.nbytes == 12 * len(texts)
    places = places.with_later(later[600:])
    assert places.nbytes == 12 * (len(texts) + len(later))
    assert places.find([*texts, *later]).tolist() == list(range(len(texts) + len(later)))


def test_a_text_takes_twelve_bytes():
    keys = keys_of([f"some-id-{at}" for at in range(100_000)])
    tracemalloc.start()
    places = Places(keys)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 13 * len(keys)
    assert np.array_equal(places.find(["some-id-99999", "other"]), [99_999, -1])
