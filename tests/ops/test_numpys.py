"""NumPy's composites: what their calls in tests/surface do not show, at the edges and where they refuse."""

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.special
import scipy.stats

import tracegrad as tg
from tracegrad.errors import DtypeError, EscapeError, ShapeError, TraceError
from tracegrad.namespaces import NUMPY_FUNCTIONS

X = np.array([[1.0, -2.0, np.nan], [np.inf, 0.0, 3.0]])
OUT = np.zeros(())
V = np.array([3.0, 1.0, 2.0, 1.0])


def run(function, *arrays):
    return tg.jit(function, compile="never")(*arrays)


def slope(function, x):
    return tg.grad_compile(function, compile="never").grad(x)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.fmax(x, 2),
        lambda x: np.fmin(1, x),
        lambda x: np.heaviside(x, 0.5),
        lambda x: np.fmod(x, 1.5),
        lambda x: np.fmod(4.0, x),
        lambda x: np.nan_to_num(x, nan=7),
        lambda x: np.deg2rad(x),
        lambda x: np.float_power(x, 2),
        lambda x: np.modf(x)[0],
        lambda x: np.cbrt(x),
        lambda x: np.nanmean(x, axis=0),
        lambda x: np.nanvar(x, axis=1, dtype=np.float64),
        lambda x: np.nansum(x),
        lambda x: np.quantile(x, 0.25),
        lambda x: np.quantile(x, np.array([0.25, 0.5])),
        lambda x: np.cov(x[:, :2]),
        lambda x: np.trapezoid(x, dx=2),
        lambda x: np.insert(x, 1, 5.0),
        lambda x: np.select([x > 0], [x], 1),
        lambda x: np.where(x > 0, np.fmax(x, 0), 0),
        lambda x: scipy.special.huber(1.5, x),
        lambda x: scipy.special.boxcox(x + 3, 0.5),
        lambda x: scipy.special.rel_entr(x, 2),
        lambda x: scipy.special.exprel(x),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_python_numbers_take_the_dtype_of_arrays(function, dtype):
    x = np.array([[1, -2, 5], [4, 6, 3]], dtype)
    want, result = function(x), run(function, x)
    assert np.asarray(result).dtype == np.asarray(want).dtype
    np.testing.assert_allclose(result, want, rtol=2e-6)


def test_numbers_that_are_not_finite():
    with np.errstate(all="ignore"):
        for function in (
            lambda x: np.nan_to_num(x),
            lambda x: np.modf(x)[0],
            lambda x: np.fmod(x, 2.0),
            lambda x: np.heaviside(x, 0.5),
            lambda x: np.cbrt(x),
            lambda x: np.imag(x),
            lambda x: np.isclose(x, x),
            lambda x: np.median(x, axis=1),
            lambda x: np.nanmax(x, axis=0),
            lambda x: np.quantile(x, 0.5, axis=1, method="lower"),
        ):
            np.testing.assert_array_equal(run(function, X), function(X))


def test_lines_of_nan_alone():
    x = np.array([[np.nan, np.nan], [1.0, np.nan]])
    for name in ("nanmax", "nanmin", "nanmean", "nanvar", "nanmedian"):
        np.testing.assert_array_equal(
            np.isnan(run(lambda x, name=name: getattr(np, name)(x, axis=1), x)), [True, False], err_msg=name
        )
    assert run(lambda x: np.nansum(x, axis=1), x).tolist() == [0.0, 1.0]


def test_the_gradient_stays_with_the_numbers():
    x = np.array([1.0, np.nan, 4.0])
    for function, want in (
        (np.nansum, [1, 0, 1]),
        (np.nanmean, [0.5, 0, 0.5]),
        (np.nanmax, [0, 0, 1]),
        (np.nanprod, [4, 0, 1]),
        (np.nan_to_num, [1, 0, 1]),
    ):
        found = slope(lambda x, f=function: np.sum(f(x)), x)
        assert found.tolist() == want


def test_a_flat_nanstd_has_no_slope():
    found = slope(np.nanstd, np.array([2.0, np.nan, 2.0]))
    assert found.tolist() == [0.0, 0.0, 0.0]


def test_relative_entropy_at_its_edges():
    x, y = np.array([0.0, 0.0, 1.0, -1.0, np.nan, 2.0]), np.array([0.0, 1.0, 0.0, 1.0, 1.0, 1.0])
    for name in ("rel_entr", "kl_div"):
        function = getattr(scipy.special, name)
        np.testing.assert_array_equal(run(lambda x, y, f=function: f(x, y), x, y), function(x, y))


def test_densities_outside_of_their_support_and_scale():
    x = np.array([-1.0, 0.0, 2.0, np.nan])
    for name in ("expon", "halfnorm"):
        function = getattr(scipy.stats, name).logpdf
        np.testing.assert_allclose(run(lambda x, f=name: getattr(scipy.stats, f).logpdf(x), x), function(x), rtol=1e-15)
        found = slope(lambda x, f=name: np.sum(np.where(x > 0, getattr(scipy.stats, f).logpdf(x), 0.0)), x)
        assert np.isfinite(found).all()
    np.testing.assert_array_equal(run(lambda x: scipy.stats.norm.logpdf(x, 0.0, -1.0), x), np.full(4, np.nan))


@pytest.mark.parametrize("x", [0.0, 1e-9, -9.9e-4, 1.1e-3])
def test_exprel_is_exact_near_zero(x):
    np.testing.assert_allclose(run(lambda x: scipy.special.exprel(x), x), scipy.special.exprel(x), rtol=1e-15)
    series = sum(k * x ** (k - 1) / math.factorial(k + 1) for k in range(1, 12))
    np.testing.assert_allclose(slope(lambda x: scipy.special.exprel(x), x), series, rtol=5e-13)


def test_views_are_views():
    def f(x):
        y = np.copy(x)
        np.fliplr(y)[0, 0] = 7.0
        np.rot90(y)[-1, -1] = 8.0
        np.hsplit(y, 2)[1][0] = 5.0
        return y

    x = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(run(f, x), f(x))


def test_linspace_ends_at_its_bound_in_the_dtype_of_its_bounds():
    low, high = np.float32(0.1), np.float32(0.7)
    result = run(lambda a, b: np.linspace(a, b, 7), low, high)
    assert result.dtype == np.float32
    assert result[-1] == high
    assert run(lambda a: np.linspace(a, 1, 3), 0.0).dtype == np.float64


@pytest.mark.parametrize(
    ("function", "error", "match"),
    [
        (lambda x: np.median(x[:0]), ShapeError, "no elements"),
        (lambda x: np.quantile(x, 1.5), ShapeError, "from 0 to 1"),
        (lambda x: np.quantile(x, 0.5, method="inverted_cdf"), TraceError, "linear, lower"),
        (lambda x: np.quantile(x, 0.5, weights=x), TraceError, "weights="),
        (lambda x: np.gradient(x[:1]), ShapeError, "needs 2 elements"),
        (lambda x: np.gradient(x, 1.0, 2.0), ShapeError, "one for each axis"),
        (lambda x: np.fliplr(x), ShapeError, "2 axes or more"),
        (lambda x: np.block([[x], x]), ShapeError, "different depths"),
        (lambda x: np.delete(x, np.argmax(x)), TraceError, "static shape"),
        (lambda x: np.compress(x > 0, np.outer(x, x), axis=1), TraceError, "np.moveaxis"),
        (lambda x: np.ldexp(x, x), DtypeError, "integers"),
        (lambda x: np.interp(x, x, x[:2]), ShapeError, "same length"),
        (lambda x: np.convolve(x, x[:0]), ShapeError, "one element"),
        (lambda x: np.convolve(x, x, "odd"), ShapeError, "valid"),
        (lambda x: np.select([x > 0], [x, x]), ShapeError, "one choice per condition"),
        (lambda x: np.nan_to_num(x, copy=False), TraceError, "np.nan_to_num"),
        (lambda x: np.median(x, out=OUT), EscapeError, "out="),
        (lambda x: np.multiply.accumulate(x, axis=3), ShapeError, "out of range"),
        (lambda x: np.nextafter.accumulate(x), TraceError, "nextafter is not traced"),
        (lambda x: scipy.linalg.eigh(np.outer(x, x), np.eye(4)), TraceError, "two matrices"),
        (lambda x: scipy.linalg.khatri_rao(np.outer(x, x), np.ones((2, 3))), ShapeError, "equally many columns"),
    ],
)
def test_refusals_teach(function, error, match):
    with pytest.raises(error, match=match) as caught:
        run(function, V)
    assert caught.value.fix


@pytest.mark.parametrize("mode", ["never", "now"])
def test_a_position_without_a_choice_is_refused(mode):
    x = np.arange(6.0).reshape(2, 3)
    for choices in (lambda x: [x[0], x[1]], lambda x: [x[0], x[0]], lambda x: x):
        chosen = tg.jit(lambda a, x, f=choices: np.choose(a, f(x)), compile=mode)
        np.testing.assert_array_equal(chosen(np.array([0, 1, 1]), x), np.choose([0, 1, 1], choices(x)))
        for wrong in ([0, 2, 1], [0, -1, 1]):
            with pytest.raises(ValueError, match="invalid entry in choice array"):
                np.choose(wrong, choices(x))
            with pytest.raises(ValueError, match=r"invalid entry in choice array\n  at .*test_numpys.py"):
                chosen(np.array(wrong), x)
    for how in ("wrap", "clip"):
        for dtype in (np.int8, np.uint16, np.int64):
            a = np.array([[3], [1]], dtype) - np.array([0, 0, 2], dtype)
            run = tg.jit(lambda a, x, how=how: np.choose(a, x, mode=how), compile=mode)
            np.testing.assert_array_equal(run(a, x), np.choose(a, x, mode=how))


FOLDED = [u for u in vars(np).values() if isinstance(u, np.ufunc) and u in NUMPY_FUNCTIONS and u.nin == 2 and u.nout == 1]
FOLDS = {
    "reduce": lambda u, x: (u.reduce(x), u.reduce(x, axis=-1, keepdims=True)),
    "reduce over no elements": lambda u, x: u.reduce(x[:, :0], axis=1, initial=2),
    "reduce where": lambda u, x: u.reduce(x, axis=1, initial=1, where=x > 1),
    "accumulate": lambda u, x: (u.accumulate(x), u.accumulate(x, axis=-2)),
    "reduceat": lambda u, x: u.reduceat(x, [0, 2, 1]),
    "outer": lambda u, x: u.outer(x[0, 0], x[1, :, 0]),
    "at": lambda u, x: [y := x[:, 0, 0].copy(), u.at(y, [0, 2, 0], x[1, :3, 1])][0],
}


@pytest.mark.parametrize("fold", FOLDS)
def test_methods_of_ufuncs(fold):
    draw = np.random.default_rng(0)
    values = [draw.uniform(0.3, 1.7, (3, 4, 2)), draw.integers(1, 5, (3, 4, 2)), draw.integers(0, 2, (3, 4, 2)) > 0]
    values += [values[0].astype(np.float32), np.where(values[0] > 1.2, np.nan, values[0])]
    compared = 0
    for ufunc in sorted({u for u in FOLDED if not u.signature}, key=lambda u: u.__name__):
        for x in values:
            try:
                with np.errstate(all="ignore"):
                    wanted = FOLDS[fold](ufunc, x)
            except (TypeError, ValueError):  # NumPy has no such loop
                continue
            # bools alone are float16 to arctan2 and its kin
            if ufunc is np.ldexp or (x.dtype == bool and (ufunc is np.fmod or "ee->e" in ufunc.types[:1])):
                continue
            found = run(lambda x, u=ufunc: FOLDS[fold](u, x), x)
            for want, result in zip(*([v] if not isinstance(v, tuple) else v for v in (wanted, found)), strict=True):
                assert result.dtype == want.dtype, ufunc
                np.testing.assert_allclose(result, want, rtol=3e-6 if want.dtype == np.float32 else 1e-13, err_msg=str(ufunc))
                compared += 1
    assert compared > 60


def test_a_fold_of_many_elements_is_refused():
    with pytest.raises(TraceError, match=r"(?s)arctan2.reduce along an axis of 1000.*test_numpys.py.*Instead"):
        run(np.arctan2.reduce, np.ones(1000))
    assert run(np.hypot.reduce, np.array([3e200, 4e200])) == np.hypot(3e200, 4e200)
    assert slope(np.hypot.reduce, np.zeros(3)).tolist() == [0.0, 0.0, 0.0]


def test_numbers_are_counted_where_their_bins_are_known():
    n, w = np.array([3, 0, 3]), np.array([1.0, 2.0, 4.0])
    for mode in ("never", "now"):
        counted = tg.jit(lambda n, w: np.bincount(n, w, minlength=4), compile=mode)
        np.testing.assert_array_equal(counted(n, w), np.bincount(n, w, minlength=4))
        for wrong in (n + 1, n - 1):
            with pytest.raises(ValueError, match=r"(?s)not less than minlength.*test_numpys.py.*Instead"):
                counted(wrong, w)
    np.testing.assert_array_equal(run(lambda w: np.bincount(n, w), w), np.bincount(n, w))
    with pytest.raises(TraceError, match="minlength=n"):
        run(np.bincount, n)


def test_no_factors_lead_from_one_sign_to_the_other():
    with np.errstate(invalid="ignore"):
        wanted = np.geomspace(-1.0, 2.0, 5)
        np.testing.assert_array_equal(run(lambda x: np.geomspace(-x, 2.0, 5), 1.0), wanted)
        np.testing.assert_array_equal(run(lambda x: np.geomspace(-1.0, x, 5), 2.0), wanted)


def test_histograms_have_numpys_bins():
    draw = np.random.default_rng(1)
    x = np.concatenate([draw.normal(size=200).round(1), [-1.0, 1.0, 0.3, np.nextafter(0.3, 0)]])
    for bins, more in (
        (10, {}),
        (7, {"range": (-1, 1)}),
        ([-1.0, -0.5, 0.25, 1.0], {}),
        ([], {}),
        ([0.5], {}),
        (20, {"range": (-1, 1), "density": True}),
        (5, {"weights": draw.uniform(size=204)}),
    ):
        for value in (x, x.astype(np.float32), (x * 10).astype(np.int64)):
            wanted, edges = np.histogram(value, bins, **more)
            found, at = run(lambda x, b=bins, m=more: np.histogram(x, b, **m), value)
            assert (found.dtype, at.dtype) == (wanted.dtype, edges.dtype)
            np.testing.assert_allclose(found, wanted, rtol=1e-13)
            np.testing.assert_allclose(at, edges, rtol=1e-6, atol=1e-7)
    with pytest.raises(TraceError, match="number of bins"):
        run(lambda x: np.histogram(x, "auto"), x)
