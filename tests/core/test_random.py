"""Named streams of random numbers."""

import numpy as np
import pytest

from crossfm.core.random import stream
from crossfm.errors import OptionError


def draw(random_state, name):
    return stream(random_state, name).random(4).tolist()


def test_the_same_seed_and_name_give_the_same_numbers():
    assert draw(3, "shuffle") == draw(3, "shuffle") == draw(np.int64(3), "shuffle")


def test_another_seed_or_name_gives_other_numbers():
    assert draw(3, "shuffle") != draw(4, "shuffle")
    assert draw(3, "shuffle") != draw(3, "start")


def test_no_seed_gives_fresh_numbers():
    assert draw(None, "shuffle") != draw(None, "shuffle")


@pytest.mark.parametrize("kind", [np.random.RandomState, np.random.default_rng])
def test_a_generator_gives_one_draw_as_the_seed(kind):
    generator = kind(5)
    first, second = draw(generator, "shuffle"), draw(generator, "shuffle")
    assert first != second
    again = kind(5)
    assert [draw(again, "shuffle"), draw(again, "shuffle")] == [first, second]


@pytest.mark.parametrize("value", [-1, 1.5, "0", [1]])
def test_other_seeds_are_refused(value):
    with pytest.raises(OptionError, match="random_state="):
        stream(value, "shuffle")
