"""Text models of libFM and xLearn, scored from the text by eq. (1) itself."""

import numpy as np
import pytest

from crossfm.data.rows import rows_from_dense
from crossfm.errors import MissingFileError, ParseError
from crossfm.io.foreign import read_foreign
from crossfm.kernels import ffm
from crossfm.kernels.fm import scores
from field_rows import as_rows
from oracles import entries, ffm_score, fm_score

BIAS, W = 0.1, [-0.25, 1.5, 0.0]
V = [[0.5, -1.0], [0.25, 2.0], [-0.75, 0.125]]
X = np.array([[1.0, 0.5, 0.0], [0.0, 2.0, -1.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]], np.float32)

LIBFM = (
    "#global bias W0\n0.1\n#unary interactions Wj\n-0.25\n1.5\n0\n"
    "#pairwise interactions Vj,f\n0.5 -1\n0.25 2 \n-0.75 0.125\n"
)
XLEARN = "bias: 0.1\ni_0: -0.25\ni_1: 1.5\ni_2: 0\nv_0: 0.5 -1 \nv_1: 0.25 2 \nv_2: -0.75 0.125 \n"


@pytest.mark.parametrize(("program", "text"), [("libfm", LIBFM), ("xlearn", XLEARN)])
def test_a_model_scores_as_its_text_says(tmp_path, program, text):
    path = tmp_path / "model.txt"
    path.write_text(text)
    found, params, _ = read_foreign(path)
    assert found == program
    expected = [fm_score(entries(x), BIAS, np.array(W), np.array(V)) for x in X]
    np.testing.assert_allclose(scores(rows_from_dense(X), params), expected, rtol=1e-6)


def test_what_libfm_left_out_is_zero(tmp_path):
    path = tmp_path / "model.txt"
    path.write_text("#pairwise interactions Vj,f\n0.5 -1\n0.25 2\n-0.75 0.125\n")
    _, params, _ = read_foreign(path)
    assert params.bias == 0.0
    assert params.w.tolist() == [0.0, 0.0, 0.0]
    np.testing.assert_array_equal(params.V, np.array(V, np.float32))


@pytest.mark.parametrize(
    "text",
    [
        "#global bias W0\n0.5\n#unary interactions Wj\n1\n2\n#pairwise interactions Vj,f\n\n\n",
        "bias: 0.5\ni_0: 1\ni_1: 2\n",
    ],
)
def test_a_linear_model_has_no_factors(tmp_path, text):
    path = tmp_path / "model.txt"
    path.write_text(text)
    _, params, _ = read_foreign(path)
    assert (params.bias, params.w.tolist(), params.V.shape) == (0.5, [1.0, 2.0], (2, 0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: this is no text model"),
        ("hello\n", "line 1: this is no text model"),
        (LIBFM.replace("1.5", "x"), "line 5: 'x', but expected numbers"),
        (LIBFM.replace("0.25 2 ", "0.25"), "line 9: '0.25', but expected 2 numbers"),
        (LIBFM.replace("1.5\n", ""), "2 unary and 3 pairwise lines"),
        (LIBFM.replace("0.1\n#u", "nan\n#u"), "line 2: 'nan', but expected finite numbers"),
        (LIBFM + "#global bias W0\n1\n", "line 11: '#global bias W0', but expected one each"),
        (XLEARN.replace("i_1", "i_7"), "line 3: 'i_7', but expected i_1"),
        (XLEARN.replace("v_0:", "v_0_0:"), "line 6: 'v_1', but expected v_0, the next feature"),
        (XLEARN.replace("v_2:", "v_0_0:"), "line 7: 'v_0_0', but expected 'v_<feature>'"),
        (XLEARN.replace("v_2: -0.75 0.125 \n", ""), "3 lines i_... and 2 lines v_..."),
    ],
)
def test_a_broken_model_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "model.txt"
    path.write_text(text)
    with pytest.raises(ParseError) as error:
        read_foreign(path)
    assert message in str(error.value)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(MissingFileError, match="no such file"):
        read_foreign(tmp_path / "none.txt")


FIELD_V = [[[0.5, -1.0], [0.25, 2.0]], [[-0.75, 0.125], [1.0, 1.0]], [[0.0, 0.5], [-0.5, 0.25]]]
FIELD_LINES = [
    (i, f, " ".join(map(str, v))) for i, vectors in enumerate(FIELD_V) for f, v in enumerate(vectors)
]
XLEARN_FFM = "bias: 0.1\ni_0: -0.25\ni_1: 1.5\ni_2: 0\n" + "".join(
    f"v_{i}_{f}: {v} \n" for i, f, v in FIELD_LINES
)
LIBFFM = "n 3\nm 2\nk 2\nnormalization 1\n" + "".join(f"w{i},{f} {v} \n" for i, f, v in FIELD_LINES)
FIELD_ROWS = [[(0, 0, 1.0), (1, 1, 0.5)], [(0, 2, 2.0), (0, 0, 1.0), (1, 1, -1.0)], []]


@pytest.mark.parametrize(("program", "text"), [("xlearn", XLEARN_FFM), ("libffm", LIBFFM)])
def test_a_field_aware_model_scores_as_its_text_says(tmp_path, program, text):
    path = tmp_path / "model.txt"
    path.write_text(text)
    found, params, normalized = read_foreign(path)
    assert (found, normalized) == (program, program == "libffm")
    bias, w = (BIAS, W) if program == "xlearn" else (0.0, [0.0] * 3)
    expected = [ffm_score(row, bias, np.array(w), np.array(FIELD_V)) for row in FIELD_ROWS]
    table = ffm.from_arrays(params.to_arrays())
    np.testing.assert_allclose(ffm.scores(as_rows(FIELD_ROWS, 3), table), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (XLEARN_FFM.replace("v_1_1", "v_1_2"), "feature 1, field 2.*the next of either"),
        (XLEARN_FFM.replace("i_1", "i_1_1"), "line 3: 'i_1_1"),
        (XLEARN_FFM.replace("i_2: 0\n", ""), "vectors of 3 features for .2. fields, and 2 features"),
        (XLEARN_FFM[: XLEARN_FFM.index("v_2_1")], "a vector for every feature and field"),
        (LIBFFM.replace("m 2", "m 3"), "2 fields and 2 factors.*3 and 2"),
        (LIBFFM.replace("k 2\n", ""), "line 3: 'normalization 1', but expected 'k' and a whole number"),
        (LIBFFM.replace("w1,0", "v1,0"), "line 7.*w<feature>,<field>"),
        (LIBFFM.replace("w1,0 -0.75 0.125", "w1,0 -0.75"), "2 numbers"),
        ("n 3\nm 2\n", "line 3"),
    ],
)
def test_a_field_aware_model_that_departs_from_its_format_is_refused(tmp_path, text, message):
    path = tmp_path / "model.txt"
    path.write_text(text)
    with pytest.raises(ParseError, match=message):
        read_foreign(path)
