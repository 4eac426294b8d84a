"""Columns: options are checked, and survive JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfm.data.columns import (
    COMBINERS,
    TRANSFORMS,
    Categorical,
    MultiCategorical,
    Numeric,
    column_from_json,
)
from crossfm.errors import OptionError

COUNTS = st.integers(1, 2**31)
VOCABULARY = st.fixed_dictionaries({}, optional={"min_count": COUNTS, "max_size": st.none() | COUNTS})
HASHED = st.fixed_dictionaries({"hash_buckets": COUNTS})
SHARED = st.just({"share": "the other"})
NAMES = st.text(min_size=1)
COLUMNS = st.one_of(
    st.builds(lambda name, more: Categorical(name, **more), NAMES, VOCABULARY | HASHED | SHARED),
    st.builds(
        lambda name, separator, combiner, more: MultiCategorical(name, separator, combiner, **more),
        NAMES,
        st.none() | NAMES,
        st.sampled_from(COMBINERS),
        VOCABULARY | HASHED | SHARED,
    ),
    st.builds(Numeric, NAMES, st.sampled_from(TRANSFORMS)),
    st.builds(Numeric, NAMES, st.sampled_from(["quantile", "log2"]), st.integers(2, 1000)),
)


@given(COLUMNS)
def test_a_column_survives_json(column):
    assert column_from_json(json.loads(json.dumps(column.to_json()))) == column


@pytest.mark.parametrize(
    "make",
    [
        lambda: Categorical(""),
        lambda: Categorical(3),
        lambda: Categorical("a", min_count=0),
        lambda: Categorical("a", min_count=None),
        lambda: Categorical("a", min_count=True),
        lambda: Categorical("a", max_size=0),
        lambda: Categorical("a", max_size=1.5),
        lambda: Categorical("a", hash_buckets=0),
        lambda: Categorical("a", hash_buckets=2**32),
        lambda: Categorical("a", hash_buckets=8, min_count=2),
        lambda: Categorical("a", hash_buckets=8, max_size=2),
        lambda: MultiCategorical("a", separator=""),
        lambda: MultiCategorical("a", separator=1),
        lambda: MultiCategorical("a", combiner="max"),
        lambda: Numeric("a", transform="sqrt"),
        lambda: Numeric("a", n_buckets=4),
        lambda: Numeric("a", "quantile", n_buckets=1),
        lambda: Numeric("a", "log2", n_buckets=0),
    ],
)
def test_an_option_that_means_nothing_is_refused(make):
    with pytest.raises(OptionError):
        make()


def test_an_error_names_column_option_and_choices():
    with pytest.raises(
        OptionError, match="'age': transform is 'sqrt', but must be one of none, standard, log"
    ):
        Numeric("age", "sqrt")


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"kind": "text", "name": "a"},
        {"kind": ["numeric"], "name": "a"},
        {"kind": "numeric"},
        {"kind": "numeric", "name": "a", "size": 3},
        {"kind": "numeric", "name": 3},
    ],
)
def test_json_that_describes_no_column_is_refused(data):
    with pytest.raises(OptionError):
        column_from_json(data)
