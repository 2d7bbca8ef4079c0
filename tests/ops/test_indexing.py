"""Indexing and assignment against NumPy, by chosen and by random keys, forward and backward."""

import numpy as np
import pytest

from tests.support import gradients, static
from tracegrad.core.interpret import interpret
from tracegrad.errors import DtypeError, ShapeError, TraceError
from tracegrad.ops.indexing import getitem, put, setitem, take, take_along_axis
from tracegrad.ops.reductions import sum as sum_of

SHAPE = (4, 5, 6)
I3 = np.array([2, -1, 0])
MASK = np.random.default_rng(0).random(SHAPE) > 0.5
KEYS = [
    0,
    -1,
    np.int64(2),
    np.array(1),
    (1, 2, 3),
    np.s_[...],
    np.s_[None],
    np.s_[..., 1],
    np.s_[1:3],
    np.s_[::-2, None, 1:4],
    np.s_[3:0:-1, ::-1],
    np.s_[5:2],
    np.s_[2:1:-1, 0],
    np.s_[:, -3:, None, 2],
    (I3,),
    [1, 2],
    [],
    np.s_[:, I3],
    (I3, slice(None), I3),
    (0, slice(1, 3), [[1], [2]]),
    (slice(None), 0, I3),
    (I3, I3[:, None]),
    (I3, Ellipsis, I3),
    (slice(None), [0, 1], Ellipsis, [1, 1]),
    (slice(None), [0, 1], [1, 1], Ellipsis),
    np.s_[None, [1, 2], ..., None, [0, 1]],
    np.s_[1:3, [0, 1], ::-1],
    np.s_[::-1, [0, 1, 0], None, 1:5:2],
    (I3, I3, I3),
    (np.uint8([1, 2]),),
    MASK,
    MASK[:, :, 0],
    (slice(None), MASK[0]),
    (MASK[:, 0, 0], slice(1, 4)),
    (MASK[:, 0, 0], 2, slice(None)),
    np.zeros(SHAPE, bool),
]


def random_key(rng):
    """A key for SHAPE with any mixture of kinds."""
    key, joint = [], tuple(rng.choice([1, 2, 3], size=rng.integers(0, 3)))
    for n in SHAPE[: rng.integers(1, 4)]:
        kind = rng.integers(0, 5)
        if kind == 0:
            key.append(int(rng.integers(-n, n)))
        elif kind == 1:
            step = int(rng.choice([-3, -2, -1, 1, 2, 3]))
            ends = [None if rng.random() < 0.3 else int(rng.integers(-n - 2, n + 3)) for _ in range(2)]
            key.append(slice(*ends, step))
        elif kind == 2:
            key.append(slice(None))
        else:
            shape = tuple(int(m) if rng.random() < 0.7 else 1 for m in joint)
            key.append(rng.integers(-n, n, shape))
    for extra in (None, Ellipsis, None):
        if rng.random() < 0.3:
            key.insert(int(rng.integers(0, len(key) + 1)), extra)
    return tuple(key)


RANDOM = [random_key(np.random.default_rng(seed)) for seed in range(250)]
CASES = [pytest.param(key, id=str(k)) for k, key in enumerate(KEYS + RANDOM)]


def data():
    return np.random.default_rng(1).normal(size=SHAPE)


@pytest.mark.parametrize("key", CASES)
def test_reading(key):
    x = data()
    expected = x[key]
    for result in (getitem(x, key), interpret(static(lambda x: x[key], x), [x])[0]):
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("key", CASES)
def test_gradient_of_reading(key):
    x = data()
    weights = np.random.default_rng(2).uniform(1, 2, np.shape(x[key]))
    expected = np.zeros(SHAPE)
    np.add.at(expected, key, weights)
    (g,) = gradients(lambda x: sum_of(getitem(x, key) * weights), x)
    np.testing.assert_allclose(g, expected, rtol=1e-14)


@pytest.mark.parametrize("key", CASES)
def test_writing(key):
    x = data()
    value = np.random.default_rng(3).normal(size=np.shape(x[key]))
    expected = x.copy()
    expected[key] = value
    np.testing.assert_array_equal(setitem(x, key, value), expected)
    np.testing.assert_array_equal(interpret(static(lambda x, v: setitem(x, key, v), x, value), [x, value])[0], expected)
    np.testing.assert_array_equal(x, data())


@pytest.mark.parametrize("key", CASES)
def test_gradient_of_writing(key):
    x = data()
    value = np.random.default_rng(3).normal(size=np.shape(x[key]))
    weights = np.random.default_rng(4).uniform(1, 2, SHAPE)
    gx, gv = gradients(lambda x, v: sum_of(setitem(x, key, v) * weights), x, value)
    kept = weights.copy()
    kept[key] = 0
    np.testing.assert_array_equal(gx, kept)
    # who wrote last at a place, by numbering the writers
    writers = np.full(SHAPE, -1)
    order = np.arange(value.size).reshape(value.shape)
    writers[key] = order
    np.testing.assert_array_equal(gv, np.where(writers[key] == order, weights[key], 0))


def test_traced_indices():
    x, i, j = data(), np.array([[3, -1], [0, -4]]), np.array([-5, 4])
    for function in (
        lambda x, i, j: x[i],
        lambda x, i, j: x[i, j],
        lambda x, i, j: x[i, 1:4, j],
        lambda x, i, j: x[:, j[0]],
        lambda x, i, j: x[:, [1, 2], j],
        lambda x, i, j: x[j[0] + 5, ..., j],
        lambda x, i, j: setitem(x, (i, slice(None), j), 7.0),
        lambda x, i, j: setitem(x, j[1] - 1, x[0]),
        lambda x, i, j: take(x, j, 1),
    ):
        expected = function(x, i, j)
        (result,) = interpret(static(function, x, i, j), [x, i, j])
        np.testing.assert_array_equal(result, expected)


def test_traced_indices_out_of_range_stay_detectable():
    x = data()
    for i, j in ((4, 0), (-5, 0), (0, 5), (0, -6), (-1, 5), (3, 6)):
        arrays = [x, np.array([0, i]), np.array([0, j])]
        with pytest.raises(IndexError):
            x[arrays[1], arrays[2]]
        graph = static(lambda x, i, j: x[i, j], *arrays)
        with pytest.raises(IndexError, match="out of bounds"):
            interpret(graph, arrays)
        if j == 0:
            with pytest.raises(IndexError, match="out of bounds"):
                interpret(static(lambda x, i: x[i], *arrays[:2]), arrays[:2])


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (4, "index 4 is out of bounds for axis 0 with size 4"),
        ((0, -6), "index -6 is out of bounds for axis 1 with size 5"),
        (([0, 9], 0), "index 9 is out of bounds for axis 0 with size 4"),
        ((0, 0, 0, 0), "too many indices"),
        ((Ellipsis, Ellipsis), "single ellipsis"),
        (1.5, "only integers"),
        (np.array([1.5]), "must be of integer or boolean type"),
        ("a", "only integers"),
        (np.zeros(3, bool), "boolean index did not match indexed array along axis 0"),
    ],
)
def test_wrong_keys_raise_what_numpy_raises(key, text):
    x = data()
    with pytest.raises(IndexError):
        x[key]
    with pytest.raises(IndexError, match=text):
        getitem(x, key)


def test_a_traced_mask_is_refused_with_the_way_out():
    with pytest.raises(TraceError, match=r"(?s)traced boolean mask.*np\.where"):
        static(lambda x: x[0, x[0] > 0], data())


def test_a_value_that_does_not_fit():
    with pytest.raises(ShapeError, match=r"shape \(3,\) cannot be assigned to a selection of shape \(4,\)"):
        setitem(np.zeros((4, 2)), (slice(None), 0), np.zeros(3))


def test_assignment_casts_and_broadcasts_as_numpy():
    base = np.zeros((2, 3), np.int32)
    for key, value in ((0, 1.7), (np.s_[:, 1], np.ones((1, 1, 2))), ([1], np.array([[1.0, 2.0, 3.9]]))):
        expected = base.copy()
        expected[key] = value
        result = setitem(base, key, value)
        np.testing.assert_array_equal(result, expected)
        assert result.dtype == np.int32


def test_the_last_of_equal_positions_wins():
    i = np.array([0, 0, 1])
    np.testing.assert_array_equal(put(np.zeros(2), i, np.array([1.0, 2.0, 3.0]), axis=0), [2, 3])
    (g,) = gradients(lambda v: sum_of(setitem(np.zeros(2), i, v)), np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(g, [0, 1, 1])


@pytest.mark.parametrize("mode", ["raise", "wrap", "clip"])
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_take(mode, axis):
    x = data()
    i = np.array([[0, 3], [1, 2]]) if mode == "raise" else np.array([-7, 130, 2])
    np.testing.assert_array_equal(take(x, i, axis, mode=mode), np.take(x, i, axis, mode=mode))
    (result,) = interpret(static(lambda x, i: take(x, i, axis, mode=mode), x, i), [x, i])
    np.testing.assert_array_equal(result, np.take(x, i, axis, mode=mode))


def test_take_refuses_floats_and_unknown_modes():
    with pytest.raises(DtypeError, match="give integers"):
        take(data(), np.array([0.5]))
    with pytest.raises(TraceError, match='"wrap"'):
        take(data(), [0], mode="bounce")


def test_take_along_axis():
    x = data()
    i = np.argsort(x, axis=1)
    (result,) = interpret(static(lambda x, i: take_along_axis(x, i, 1), x, i), [x, i])
    np.testing.assert_array_equal(result, np.sort(x, axis=1))
