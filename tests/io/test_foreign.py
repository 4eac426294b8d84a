"""Text models of libFM and xLearn, scored from the text by eq. (1) itself."""

import numpy as np
import pytest

from crossfm.data.rows import rows_from_dense
from crossfm.errors import MissingFileError, ParseError
from crossfm.io.foreign import read_foreign
from crossfm.kernels.fm import scores
from oracles import entries, fm_score

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
    found, params = read_foreign(path)
    assert found == program
    expected = [fm_score(entries(x), BIAS, np.array(W), np.array(V)) for x in X]
    np.testing.assert_allclose(scores(rows_from_dense(X), params), expected, rtol=1e-6)


def test_what_libfm_left_out_is_zero(tmp_path):
    path = tmp_path / "model.txt"
    path.write_text("#pairwise interactions Vj,f\n0.5 -1\n0.25 2\n-0.75 0.125\n")
    _, params = read_foreign(path)
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
    _, params = read_foreign(path)
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
        (XLEARN.replace("v_0:", "v_0_0:"), "line 5: 'a field-aware model"),
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
