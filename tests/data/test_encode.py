"""The encoder against its naive form, cell by cell."""

from __future__ import annotations

import datetime as dt
import decimal
import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles
from crossfm.data.categories import category_codes, stable_hash
from crossfm.data.columns import Categorical, MultiCategorical, Numeric
from crossfm.data.encode import Encoder
from crossfm.errors import ColumnError, DataError, ModelFileError, OptionError

WORDS = st.sampled_from(["a", "b", "ab", "", "é", "日本", "1", "a b", "<missing>"]) | st.text(max_size=3)
WORDS = WORDS.filter(lambda word: "|" not in word and word == word.strip() and word.isprintable())
WHOLE = st.integers(-3, 3) | st.integers(-(2**53), 2**53)
NUMBERS = st.sampled_from([0.0, -0.0, 1.0, 2.0, 2.5, -1.0, 1e6, float("nan")]) | st.floats(
    -1e9, 1e9, width=32
)
# sums of eighths are exact, so that a mean does not depend on the order of summing
EIGHTHS = st.just(float("nan")) | st.integers(-8000, 8000).map(lambda i: i / 8)
VOCABULARY = st.fixed_dictionaries(
    {"min_count": st.integers(1, 3), "max_size": st.none() | st.integers(1, 3)}
)
HASHED = st.fixed_dictionaries({"hash_buckets": st.integers(1, 5)})
COMBINERS = st.sampled_from(["sum", "mean", "sqrtn"])
NUMERIC = st.one_of(
    st.builds(lambda t: Numeric("x", t), st.sampled_from(["none", "standard", "log"])),
    st.builds(lambda n: Numeric("x", "quantile", n), st.none() | st.integers(2, 5)),
    st.builds(lambda n: Numeric("x", "log2", n), st.none() | st.integers(1, 50)),
)


def lists_of(cells, least=0):
    return st.lists(st.none() | cells, min_size=least, max_size=12)


def naive(column, train, cells):
    f = oracles.numeric_features if isinstance(column, Numeric) else oracles.category_features
    return f(column, train, cells)


def pairs(rows):
    """Return the (id, value) pairs of each row."""
    ends, values = rows.offsets(), rows.value_of_each()
    return [
        [(int(rows.indices[k]), float(values[k])) for k in range(ends[i], ends[i + 1])]
        for i in range(rows.n_rows)
    ]


def same(rows, expected):
    rows = pairs(rows)
    assert [[i for i, _ in row] for row in rows] == [[i for i, _ in row] for row in expected]
    flat = [[value for row in side for _, value in row] for side in (rows, expected)]
    np.testing.assert_allclose(*flat, rtol=1e-5, atol=1e-6)


def equal(a, b):
    """Check that two sets of rows are the same bit for bit."""
    for name in ("indices", "indptr", "values", "fields", "n_features", "width"):
        x, y = getattr(a, name), getattr(b, name)
        assert (x is None) == (y is None), name
        np.testing.assert_array_equal(x, y, err_msg=name)


# ------------------------------------------------------------------------------------ against the naive form


@given(st.data())
def test_categories_get_the_ids_of_the_naive_form(data):
    column = Categorical("x", **data.draw(VOCABULARY | HASHED))
    cells = data.draw(st.sampled_from([WORDS, WHOLE, NUMBERS, st.booleans()]))
    train, test = data.draw(lists_of(cells, 1)), data.draw(lists_of(cells))
    if cells is NUMBERS:  # how other fractions are written is arrow's business
        train, test = (
            [x if x is None or x == x // 1 or x != x else 2.5 for x in side] for side in (train, test)
        )
    encoder = Encoder([column]).fit({"x": train})
    same(encoder.transform({"x": test}), naive(column, train, test))


@given(st.data())
def test_several_values_in_a_cell_get_the_ids_and_shares_of_the_naive_form(data):
    column = MultiCategorical("x", combiner=data.draw(COMBINERS), **data.draw(VOCABULARY | HASHED))
    cells = st.lists(WORDS, max_size=4)
    if data.draw(st.booleans()):
        cells = cells.map("|".join)
    train, test = data.draw(lists_of(cells, 1)), data.draw(lists_of(cells))
    encoder = Encoder([column])
    same(encoder.fit_transform({"x": train}), naive(column, train, train))
    same(encoder.transform({"x": test}), naive(column, train, test))


@given(NUMERIC, lists_of(EIGHTHS, 1), lists_of(EIGHTHS))
def test_numbers_get_the_features_of_the_naive_form(column, train, test):
    encoder = Encoder([column])
    same(encoder.fit_transform({"x": train}), naive(column, train, train))
    same(encoder.transform({"x": test}), naive(column, train, test))


@given(st.lists(st.text(max_size=12), unique=True, max_size=20))
def test_the_hash_is_the_published_one(texts):
    hashed = stable_hash(pa.array(["pad", *texts], pa.string()).slice(1))
    assert hashed.tolist() == [oracles.hash64(text) for text in texts]


def test_the_hash_never_changes():
    assert stable_hash(pa.array(["", "a", "é"])).tolist() == [
        17280346270528514342,
        9413272369427828315,
        11337192735045482043,
    ]


ROWS = st.fixed_dictionaries(
    {"user": st.none() | WORDS, "tags": st.none() | st.lists(WORDS, max_size=3), "age": st.none() | NUMBERS}
)


@settings(max_examples=50)
@given(
    st.lists(ROWS, min_size=1, max_size=12),
    st.lists(ROWS, max_size=6),
    st.permutations(["user", "tags", "age"]),
)
def test_columns_lie_side_by_side_and_the_state_gives_the_same_rows(train, test, order):
    made = {
        "user": Categorical("user", max_size=3),
        "tags": MultiCategorical("tags", combiner="mean"),
        "age": Numeric("age", "quantile", 3),
    }
    columns = [made[name] for name in order]
    types = {"user": pa.string(), "tags": pa.list_(pa.string()), "age": pa.float64()}
    schema = pa.schema(types.items())
    fit, new = (pa.Table.from_pylist(rows, schema) for rows in (train, test))
    encoder = Encoder(columns)
    rows = encoder.fit_transform(fit)
    equal(rows, encoder.transform(fit))
    expected = [[] for _ in train]
    for column, start in zip(columns, encoder.starts, strict=False):
        cells = [row[column.name] for row in train]
        for row, features in zip(expected, naive(column, cells, cells), strict=True):
            row += [(start + i, value) for i, value in features]
    same(rows, expected)
    assert encoder.feature_fields[rows.indices].tolist() == rows.field_of_each().tolist()
    assert encoder.feature_counts.tolist() == np.bincount(rows.indices, minlength=encoder.n_features).tolist()
    assert encoder.seen_mask.tolist() == [count > 0 for count in encoder.feature_counts]
    assert len(encoder.feature_names()) == encoder.n_features == encoder.starts[-1]
    arrays, meta = encoder.to_state()
    again = Encoder.from_state(arrays, json.loads(json.dumps(meta)))
    equal(again.transform(new), encoder.transform(new))
    assert again.feature_names() == encoder.feature_names()
    assert again.feature_counts.tolist() == encoder.feature_counts.tolist()


# ------------------------------------------------------------------------------------------- forms of Rows


def test_one_feature_a_column_gives_fixed_width():
    columns = [Categorical("a"), Numeric("b", "quantile", 2)]
    rows = Encoder(columns).fit_transform({"a": ["x", None, "y"], "b": [1, 2, None]})
    assert (rows.width, rows.indptr, rows.values, rows.fields.tolist()) == (2, None, None, [0, 1])
    assert rows.indices.reshape(3, 2).tolist() == [[2, 5], [0, 6], [3, 4]]


def test_numbers_keep_the_fixed_width_and_bring_values():
    rows = Encoder([Categorical("a"), Numeric("b", "none")]).fit_transform({"a": ["x", "y"], "b": [0, 2.5]})
    assert (rows.width, rows.indptr, rows.values.tolist()) == (2, None, [1, 0, 1, 2.5])


def test_several_values_a_cell_give_csr():
    rows = Encoder([Categorical("a"), MultiCategorical("g")]).fit_transform(
        {"a": ["x", "x", "x", "x"], "g": ["p|q", "", None, "q| q|"]}
    )
    assert rows.indptr.tolist() == [0, 3, 4, 6, 8]
    assert rows.values is None
    assert rows.fields.tolist() == [0, 1, 1, 0, 0, 1, 0, 1]
    assert pairs(rows) == [[(2, 1), (5, 1), (6, 1)], [(2, 1)], [(2, 1), (3, 1)], [(2, 1), (5, 1)]]


@pytest.mark.parametrize(
    "column", [Categorical("a"), MultiCategorical("a"), Numeric("a"), Numeric("a", "log2")]
)
def test_a_table_without_rows_gives_no_rows(column):
    encoder = Encoder([column]).fit({"a": pa.array(["1"])})
    rows = encoder.transform({"a": pa.array([], pa.string())})
    assert (rows.n_rows, rows.nnz, rows.n_features) == (0, 0, encoder.n_features)


def test_chosen_columns_keep_their_ids_and_fields():
    table = {"user": ["a", "b"], "item": ["x", "y"], "age": [1, 2]}
    encoder = Encoder([Categorical("user"), Categorical("item"), Numeric("age")]).fit(table)
    whole = encoder.transform(table)
    rows = encoder.transform({"item": ["x", "y"], "age": [1, 2]}, columns=["age", "item"])
    assert rows.fields.tolist() == [1, 2]
    assert rows.indices.reshape(2, 2).tolist() == whole.indices.reshape(2, 3)[:, 1:].tolist()
    with pytest.raises(ColumnError, match="did you mean 'item'"):
        encoder.transform(table, columns=["itm"])
    with pytest.raises(OptionError, match="no columns are chosen"):
        encoder.transform(table, columns=[])


# ------------------------------------------------------------------------------------ meaning of the cells


def test_features_are_named():
    table = {
        "u": ["b", "a", "b"],
        "x": [1, 2, 30],
        "y": [1, 2, 3],
        "z": [-1, 1.5, 4],
        "g": ["p|q", "q", None],
        "h": "abc",
    }
    table["h"] = list(table["h"])
    columns = [
        Categorical("u"),
        Numeric("x"),
        Numeric("y", "quantile", 3),
        Numeric("z", "log2"),
        MultiCategorical("g"),
        Categorical("h", hash_buckets=2),
    ]
    assert Encoder(columns).fit(table).feature_names() == [
        *("u=<missing>", "u=<unseen>", "u=b", "u=a"),
        *("x=<missing>", "x"),
        *("y=<missing>", "y=(-inf, 1]", "y=(1, 2]", "y=(2, inf)"),
        *("z=<missing>", "z=(-inf, 0)", "z=[0, 1)", "z=[1, 2)", "z=[2, 2.71828)", "z=[2.71828, inf)"),
        *("g=<missing>", "g=<unseen>", "g=q", "g=p"),
        *("h=<missing>", "h=<hash 0>", "h=<hash 1>"),
    ]


FORMS = {
    "int64": pa.array([3, 1, None, 3], pa.int64()),
    "int8": pa.array([3, 1, None, 3], pa.int8()),
    "uint64": pa.array([3, 1, None, 3], pa.uint64()),
    "float": pa.array([3.0, 1.0, None, 3.0]),
    "float16": pa.array(np.array([3, 1, np.nan, 3], np.float16)),
    "nan": pa.array([3.0, 1.0, float("nan"), 3.0]),
    "text": pa.array(["3", "1", None, "3"]),
    "empty text": pa.array(["3", "1", "", "3"]),
    "view": pa.array(["3", "1", None, "3"], pa.string_view()),
    "bytes": pa.array([b"3", b"1", None, b"3"]),
    "decimal": pa.array([decimal.Decimal("3.00"), decimal.Decimal("1.00"), None, decimal.Decimal("3.00")]),
    "dictionary": pa.array(["3", "1", None, "3"]).dictionary_encode(),
    "dictionary of int": pa.array([3, 1, None, 3]).dictionary_encode(),
    "unused category": pa.array(pd.Categorical(["3", "1", None, "3"], categories=["9", "1", "3"])),
    "chunks": pa.chunked_array(
        [pa.array(["3"]).dictionary_encode(), pa.array(["1", None, "3"]).dictionary_encode()]
    ),
    "pandas int": pd.Series([3, 1, None, 3], dtype="Int64"),
    "pandas float": pd.Series([3, 1, None, 3]),
    "pandas object": pd.Series([3, 1, None, 3], dtype=object),
    "polars": pl.Series([3, 1, None, 3]),
    "polars categorical": pl.Series(["3", "1", None, "3"], dtype=pl.Categorical),
    "slice": pa.array(["0", "3", "1", None, "3"]).slice(1),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "column", [Categorical("a"), Categorical("a", hash_buckets=50), MultiCategorical("a")]
)
def test_a_category_is_its_value_and_not_its_type(form, column):
    if isinstance(column, MultiCategorical) and form == "empty text":
        return  # an empty cell there, not a missing one
    encoder = Encoder([column]).fit({"a": [3, 1, None, 3]})
    cells = FORMS[form]
    table = {"a": cells.to_arrow() if isinstance(cells, pl.Series) else cells}
    equal(encoder.transform(table), encoder.transform({"a": [3, 1, None, 3]}))
    assert Encoder([column]).fit(table).feature_names() == encoder.feature_names()


@pytest.mark.parametrize(
    ("cells", "texts"),
    [
        (pa.array([True, False]), ["true", "false"]),
        (
            pa.array([0.0, -0.0, 1.5, -2.0, 1e15, float("inf")]),
            ["0", "0", "1.5", "-2", "1000000000000000", "inf"],
        ),
        (pa.array([0.1], pa.float32()), ["0.1"]),
        (pa.array([decimal.Decimal("1.50"), decimal.Decimal("100")]), ["1.5", "100"]),
        (pa.array([dt.date(2020, 1, 2)]), ["2020-01-02"]),
        (pa.array([dt.datetime(2020, 1, 2)]), ["2020-01-02"]),
        (pa.array([dt.datetime(2020, 1, 2, 10)], pa.timestamp("ns")), ["2020-01-02 10:00:00"]),
        (pa.array([dt.datetime(2020, 1, 2, 10, 0, 0, 500_000)]), ["2020-01-02 10:00:00.5"]),
        (pa.array([dt.datetime(2020, 1, 2)], pa.timestamp("s", "Europe/Berlin")), ["2020-01-02 00:00:00Z"]),
        (pa.array([dt.time(10, 30)]), ["10:30:00"]),
        (pa.array([" a", "a"]), [" a", "a"]),
        (pa.array([2**63], pa.uint64()), ["9223372036854775808"]),
    ],
)
def test_canonical_forms(cells, texts):
    codes, values = category_codes(cells, "a")
    assert [values[int(code)].as_py() for code in codes] == texts


def test_equal_tables_of_all_libraries_give_equal_rows():
    cells = {
        "user": ["a", "b", None, "ç日"],
        "size": [1.5, None, 2.0, -1.0],
        "shop": [1, None, 2, 1],
        "day": [dt.date(2020, 1, 1), None, dt.date(2020, 1, 2), dt.date(2020, 1, 2)],
        "tags": [["x", "y"], [], None, ["y"]],
        "genres": ["P|Q", "", None, "Q"],
        "flag": [True, False, True, True],
    }
    columns = [
        *(Categorical(name) for name in ("user", "shop", "day", "flag")),
        Numeric("size"),
        MultiCategorical("tags", separator=None),
        MultiCategorical("genres", combiner="mean"),
    ]
    encoder = Encoder(columns)
    expected = encoder.fit_transform(cells)
    for table in (pd.DataFrame(cells), pl.DataFrame(cells), pa.table(cells), pa.table(cells).to_batches()[0]):
        equal(encoder.transform(table), expected)
        equal(Encoder(columns).fit_transform(table), expected)


@pytest.mark.parametrize("kind", [pa.list_(pa.int32()), pa.large_list(pa.string()), pa.list_(pa.string(), 2)])
def test_lists_of_any_kind_are_read(kind):
    cells = [["1", "2"], None, ["2", "2"], [None, "1"]]
    if pa.types.is_int32(kind.value_type):
        cells = [cell and [value and int(value) for value in cell] for cell in cells]
    rows = Encoder([MultiCategorical("a")]).fit_transform({"a": pa.array(cells, kind)})
    assert pairs(rows) == [[(2, 1), (3, 1)], [(0, 1)], [(3, 1)], [(2, 1)]]


@given(
    st.lists(
        st.none() | st.dictionaries(WORDS | WHOLE.map(str), EIGHTHS.filter(lambda x: x == x), max_size=4),
        min_size=1,
    ),
    COMBINERS,
    st.none() | st.integers(1, 4),
)
def test_values_with_numbers_have_them_as_values(cells, combiner, hash_buckets):
    column = MultiCategorical("x", combiner=combiner, hash_buckets=hash_buckets)
    values, numbers = (
        [None if cell is None else list(part(cell)) for cell in cells] for part in (dict.keys, dict.values)
    )
    plain = MultiCategorical("x", hash_buckets=hash_buckets)
    feature_of = Encoder([plain]).fit({"x": values})
    expected = []
    for cell, own in zip(values, numbers, strict=True):
        if cell is None:
            expected.append([(0, 1.0)])
            continue
        found = {}
        for value, number in zip(cell, own, strict=True):
            for feature, _ in pairs(feature_of.transform({"x": [[value]]}))[0]:  # none for an empty text
                found[feature] = found.get(feature, 0.0) + number
        share = {"sum": 1, "mean": 1 / max(len(found), 1), "sqrtn": 1 / max(len(found), 1) ** 0.5}[combiner]
        expected.append([(feature, found[feature] * share) for feature in sorted(found)])
    for form in ({"x": cells}, pd.DataFrame({"x": pd.Series(cells, dtype=object)})):
        if any(cell is not None for cell in cells):
            same(Encoder([column]).fit_transform(form), expected)


def test_unseen_values_of_a_map_add_up_and_numbers_may_not_be_missing():
    encoder = Encoder([MultiCategorical("x")]).fit({"x": [{"a": 2.0}, {"b": 1}]})
    assert pairs(encoder.transform({"x": [{"c": 2, "a": 5, "d": 0.5}]})) == [[(1, 2.5), (2, 5.0)]]
    with pytest.raises(DataError, match=r"row 1, column 'x': 'b' has no number"):
        encoder.transform({"x": [{}, {"a": 1, "b": None}]})
    with pytest.raises(DataError, match="'x': the value is inf"):
        encoder.transform({"x": [{"a": float("inf")}]})


@pytest.mark.parametrize("kind", [pa.map_(pa.string(), pa.int32()), pa.map_(pa.int16(), pa.float32())])
def test_maps_of_arrow_are_read_from_any_part_of_an_array(kind):
    key = int if pa.types.is_int16(kind.key_type) else str
    cells = pa.chunked_array(
        [
            pa.array([[(key(9), 9)], [(key(1), 2), (key(2), 3)], None], kind),
            pa.array([[], [(key(1), 4)]], kind),
        ]
    )
    rows = Encoder([MultiCategorical("x")]).fit_transform(pa.table({"x": cells.slice(1)}))
    assert pairs(rows) == [[(2, 2), (3, 3)], [(0, 1)], [], [(2, 4)]]


@pytest.mark.parametrize(
    "column", [Categorical("a"), MultiCategorical("a"), Numeric("a"), Numeric("a", "quantile")]
)
def test_a_column_of_missing_cells_only_has_its_missing_feature(column):
    for cells in (pa.nulls(3), pa.nulls(3, pa.string()), [None, None, None]):
        encoder = Encoder([column])
        assert pairs(encoder.fit_transform({"a": cells})) == [[(0, 1)]] * 3
        assert encoder.feature_counts.tolist() == [3] + [0] * (encoder.n_features - 1)


def test_unseen_values_learn_from_rare_ones_only():
    cells = ["a", "a", "b"]
    assert Encoder([Categorical("u")]).fit({"u": cells}).seen_mask.tolist() == [False, False, True, True]
    assert Encoder([Categorical("u", min_count=2)]).fit({"u": cells}).seen_mask.tolist() == [
        False,
        True,
        True,
    ]


def test_a_constant_number_is_standardised_to_0():
    for column in (Numeric("x"), Numeric("x", "log")):
        assert Encoder([column]).fit_transform({"x": [0.1] * 7}).values.tolist() == [0.0] * 7


def test_a_value_that_fills_most_rows_keeps_a_bucket_of_its_own():
    for cells in ([0] * 97 + [1, 2, 3], [9] * 97 + [1, 2, 3]):
        rows = Encoder([Numeric("x", "quantile", 4)]).fit_transform({"x": cells})
        assert sorted(np.bincount(rows.indices).tolist())[-2:] == [3, 97]


def test_numbers_are_read_from_text_and_flags():
    encoder = Encoder([Numeric("x", "none")]).fit({"x": [1, 2]})
    for cells in (
        [" 1", "", "2.50 "],
        ["1e0", None, "2.5"],
        pa.array(["1", None, "2.5"]).dictionary_encode(),
    ):
        assert pairs(encoder.transform({"x": cells})) == [[(1, 1)], [(0, 1)], [(1, 2.5)]]
    assert pairs(encoder.transform({"x": [True, False]})) == [[(1, 1)], [(1, 0)]]
    assert pairs(encoder.transform({"x": [decimal.Decimal("1.25")]})) == [[(1, 1.25)]]


# --------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 1e39])
def test_a_number_beyond_float32_is_named_with_row_and_column(value):
    for transform in ("none", "standard", "log", "quantile", "log2"):
        with pytest.raises(
            DataError, match=f"row 2, column 'x': the value is {str(value).replace('+', '.')}"
        ):
            Encoder([Numeric("x", transform)]).fit({"x": [1.0, None, value, value]})
    encoder = Encoder([Numeric("x")]).fit({"x": [1.0, 1.0 + 1e-9]})
    with pytest.raises(DataError, match=r"row 1, column 'x': the value is 1e.35"):
        encoder.transform({"x": [1.0, 1e35]})


def test_a_text_that_is_no_number_is_named_with_row_column_and_value():
    cells = ["1", None, "", "2"] * 20 + ["many", "3", "x"]
    with pytest.raises(
        DataError, match=r"row 80, column 'x': 'many' is not a number.*use Categorical\('x'\)"
    ):
        Encoder([Numeric("x")]).fit({"x": cells})


@pytest.mark.parametrize(
    ("column", "cells", "words"),
    [
        (Numeric("x"), [dt.date(2020, 1, 1)], r"holds date32\[day\], but Numeric\('x'\) needs numbers"),
        (Numeric("x"), [[1.0]], "holds list<item: double>"),
        (Categorical("x"), [["a"]], r"use MultiCategorical\('x'\) for lists"),
        (Categorical("x"), [{"a": 1}], r"holds map<.*use MultiCategorical\('x'\)"),
        (MultiCategorical("x"), [{"a": "b"}], "holds struct"),
        (Categorical("x"), [dt.timedelta(1)], "holds duration"),
        (MultiCategorical("x"), [[["a"]]], "holds list"),
        (MultiCategorical("x", separator=None), ["a|b"], "give the separator"),
    ],
)
def test_a_column_of_the_wrong_kind_is_named(column, cells, words):
    with pytest.raises(ColumnError, match=words):
        Encoder([column]).fit({"x": cells})


def test_text_that_is_not_utf8_is_an_error():
    with pytest.raises(DataError, match="column 'x' has bytes that are not UTF-8"):
        Encoder([Categorical("x")]).fit({"x": [b"\xff"]})


def test_a_missing_column_is_named_with_the_nearest_one():
    encoder = Encoder([Categorical("genre")]).fit({"genre": ["a"], "other": [1]})
    assert encoder.transform({"other": [1, 2], "genre": ["a", "a"]}).n_rows == 2
    with pytest.raises(
        ColumnError, match=r"no column 'genre'; did you mean 'Genres'\? It has Genres, x\."
    ) as caught:
        encoder.transform({"Genres": ["a"], "x": [1]})
    assert isinstance(caught.value, KeyError)


def test_an_encoder_needs_columns_rows_and_a_fit():
    with pytest.raises(OptionError, match="has no columns"):
        Encoder([])
    with pytest.raises(OptionError, match="'a' is given twice"):
        Encoder([Categorical("a"), Numeric("a")])
    with pytest.raises(DataError, match="no rows"):
        Encoder([Categorical("a")]).fit({"a": []})
    with pytest.raises(OptionError, match="4294967298 features, but ids are 32-bit"):
        Encoder([Categorical(name, hash_buckets=2**31) for name in "ab"]).fit({"a": ["x"], "b": ["x"]})
    for use in (
        lambda e: e.transform({"a": [1]}),
        Encoder.feature_names,
        Encoder.to_state,
        lambda e: e.seen_mask,
    ):
        with pytest.raises(DataError, match="not fitted"):
            use(Encoder([Categorical("a")]))


STATE_COLUMNS = [Categorical("u"), Numeric("x"), Numeric("q", "quantile"), Numeric("l", "log2")]


@pytest.mark.parametrize(
    ("key", "array"),
    [
        ("column0.bytes", None),
        ("column0.offsets", None),
        ("column0.bytes", np.frombuffer(b"a\xffc", np.uint8)),
        ("column0.bytes", np.frombuffer(b"aac", np.uint8)),
        ("column0.offsets", np.array([0, 2, 1, 3])),
        ("column0.offsets", np.array([0, 1, 2, 4])),
        ("column0.offsets", np.array([], np.int64)),
        ("column0.offsets", np.array([0, 1, 2, 3], np.int32)),
        ("column0.offsets", np.array([[0, 1, 2, 3]])),
        ("column1.scale", None),
        ("column1.scale", np.array([0.0, 0.0])),
        ("column1.scale", np.array([np.nan, 1.0])),
        ("column1.scale", np.array([1.0])),
        ("column2.edges", np.array([2.0, 1.0])),
        ("column3.edges", np.array([0.0])),
        ("feature_counts", None),
        ("feature_counts", np.array([1])),
    ],
)
def test_a_broken_state_is_refused(key, array):
    encoder = Encoder(STATE_COLUMNS).fit(
        {"u": ["a", "b", "c"], "x": [1, 2, 3], "q": [1, 2, 3], "l": [1, 2, 3]}
    )
    arrays, meta = encoder.to_state()
    Encoder.from_state(arrays, meta)
    if array is None:
        del arrays[key]
    else:
        arrays[key] = array
    with pytest.raises(ModelFileError):
        Encoder.from_state(arrays, meta)


@pytest.mark.parametrize(
    "meta", [{}, {"columns": []}, {"columns": None}, {"columns": [{"kind": "numeric"}]}, None]
)
def test_a_broken_description_is_refused(meta):
    arrays, _ = Encoder(STATE_COLUMNS[:1]).fit({"u": ["a"]}).to_state()
    with pytest.raises(ModelFileError, match="description"):
        Encoder.from_state(arrays, meta)
