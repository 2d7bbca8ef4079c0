"""``torch.special`` and its kin against PyTorch: recorded values everywhere, live comparison where it is installed."""

import math

import numpy as np
import pytest

import tracegrad.eager as torch
from tests.eager.versus import check_recorded, compare, recorded
from tracegrad.errors import DifferentiationError, ShapeError

RNG = np.random.default_rng(0)
INSIDE, POSITIVE, WIDE = RNG.uniform(0.1, 0.9, 5), RNG.uniform(0.5, 2, 5), RNG.uniform(-3, 3, 7)
INTEGERS = np.array([1, 2, 3])


def named(name, *more, **arguments):
    return lambda library, *operands: getattr(library.special, name)(*operands, *more, **arguments)


def top(name, *more, **arguments):
    return lambda library, *operands: getattr(library, name)(*operands, *more, **arguments)


def half(library):
    return library.tensor(1.5, dtype=library.float64)


RECORDED = {
    **{n: (named(n), "inside") for n in ["gammaln", "digamma", "erfinv", "logit", "entr", "ndtri", "exp2", "expm1", "log1p"]},
    **{n: (named(n), "wide") for n in ["erf", "erfc", "erfcx", "expit", "sinc", "i0", "i0e", "i1", "i1e", "ndtr", "log_ndtr"]},
    "polygamma": (lambda t, x: t.special.polygamma(2, x), "inside"),
    "multigammaln": (lambda t, x: t.special.multigammaln(x + 1, 2), "inside"),
    "gammainc": (lambda t, x: t.special.gammainc(half(t), x), "inside"),
    "gammaincc": (lambda t, x: t.special.gammaincc(half(t), x), "inside"),
    "xlogy": (lambda t, x: t.special.xlogy(x, x), "inside"),
    "xlog1py": (lambda t, x: t.special.xlog1py(x, x), "inside"),
    "zeta": (lambda t, x: t.special.zeta(2.5, x), "inside"),
    "logsumexp": (named("logsumexp", 0), "wide"),
    "softmax": (named("softmax", 0), "wide"),
    "log_softmax": (named("log_softmax", 0), "wide"),
    "asinh": (top("asinh"), "wide"),
    "atanh": (top("atanh"), "inside"),
    "rsqrt": (top("rsqrt"), "inside"),
    "logaddexp": (lambda t, x: t.logaddexp(x, x.flip(0)), "wide"),
    "logaddexp2": (lambda t, x: t.logaddexp2(x, x.flip(0)), "wide"),
    "hypot": (lambda t, x: t.hypot(x, x.flip(0)), "wide"),
    "clamped logit": (named("logit", eps=0.3), "inside"),
}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_values(name):
    known = recorded("special")
    function, operand = RECORDED[name]
    # PyTorch's own polygamma and zeta are good to 1e-9
    check_recorded(function, known["operands"][operand], known[name], 1e-8)


ONE = "gammaln digamma psi erf erfc erfcx erfinv expit exp2 expm1 log1p logit entr sinc i0 i0e i1 i1e ndtr ndtri log_ndtr"
EVERYWHERE = "gammaln digamma erf erfc erfcx sinc i0 i0e i1 i1e ndtr log_ndtr"
CYLINDERS = (
    "bessel_j0 bessel_j1 bessel_y0 bessel_y1 modified_bessel_i0 modified_bessel_i1 modified_bessel_k0 modified_bessel_k1"
)


@pytest.mark.parametrize("name", ONE.split())
def test_like_pytorch(name):
    compare(named(name), INSIDE, tolerance=1e-9)
    compare(named(name), INSIDE.astype(np.float32), tolerance=2e-5)
    if name in EVERYWHERE.split():
        compare(named(name), WIDE, tolerance=1e-8)


@pytest.mark.parametrize("name", [n for n in ONE.split() if n not in ("erfinv", "ndtri")])
def test_integers_like_pytorch(name):
    compare(named(name), INTEGERS, order=0, tolerance=2e-6)


@pytest.mark.parametrize("name", CYLINDERS.split())
def test_bessel_functions_like_pytorch(name):
    compare(named(name), POSITIVE, order=0)
    # PyTorch has no derivatives of these
    x = torch.tensor(POSITIVE, requires_grad=True)
    getattr(torch.special, name)(x).sum().backward()
    step = 1e-6
    f = lambda x: getattr(torch.special, name)(torch.tensor(x)).numpy()
    np.testing.assert_allclose(x.grad.numpy(), (f(POSITIVE + step) - f(POSITIVE - step)) / (2 * step), rtol=1e-7)


TWO = [
    *[(f"{n} {a.shape}", named(n), (a, INSIDE)) for n in ("xlogy", "xlog1py") for a in (POSITIVE, POSITIVE[:, None])],
    ("xlogy of a number", lambda t, x: t.special.xlogy(2.0, x), (INSIDE,)),
    ("xlogy with a number", lambda t, x: t.special.xlogy(x, 2.0), (INSIDE,)),
    ("xlog1py of a number", lambda t, x: t.special.xlog1py(2.0, x), (INSIDE,)),
    ("xlog1py with a number", lambda t, x: t.special.xlog1py(x, 2.0), (INSIDE,)),
    *[(f"{n}", lambda t, x, n=n: getattr(t.special, n)(t.tensor(POSITIVE), x), (INSIDE,)) for n in ("gammainc", "gammaincc")],
    ("stretched gammainc", lambda t, x: t.special.gammainc(t.tensor(POSITIVE[:, None]), x), (INSIDE,)),
    ("logaddexp", top("logaddexp"), (INSIDE, POSITIVE)),
    ("logaddexp at ties", top("logaddexp"), (INSIDE, INSIDE)),
    ("logaddexp2", top("logaddexp2"), (INSIDE, INSIDE)),
    ("hypot", top("hypot"), (INSIDE, POSITIVE[:, None])),
    ("asinh", top("asinh"), (WIDE,)),
    ("acosh", top("acosh"), (POSITIVE + 1,)),
    ("atanh", top("atanh"), (INSIDE,)),
    ("rsqrt", top("rsqrt"), (POSITIVE,)),
    ("mvlgamma", top("mvlgamma", 3), (POSITIVE + 1,)),
    ("multigammaln", named("multigammaln", 2), (POSITIVE + 1,)),
    ("logit with eps", named("logit", eps=0.3), (INSIDE,)),
    ("method logit", lambda t, x: x.logit(0.2), (INSIDE,)),
    ("logsumexp", named("logsumexp", 0, True), (WIDE,)),
    ("softmax", named("softmax", 0, dtype=None), (WIDE,)),
    ("log_softmax", named("log_softmax", -1), (WIDE,)),
    ("methods", lambda t, x: x.lgamma() + x.digamma() + x.erfc() + x.erfinv() + x.i0() + x.sinc() + x.xlogy(x), (INSIDE,)),
]


@pytest.mark.parametrize(("function", "arrays"), [pytest.param(f, arrays, id=name) for name, f, arrays in TWO])
def test_more_functions_like_pytorch(function, arrays):
    compare(function, *arrays, tolerance=1e-9)


def test_series_like_pytorch():
    # PyTorch's zeta is good to 1e-9, its derivatives likewise
    for function in (
        lambda t, x: t.special.zeta(2.5, x),
        lambda t, x: t.special.zeta(t.tensor(POSITIVE + 1), x),
        *[lambda t, x, n=n: t.special.polygamma(n, x) for n in range(4)],
        lambda t, x: t.polygamma(1, x),
        lambda t, x: x.polygamma(1),
    ):
        compare(function, POSITIVE, tolerance=1e-7)
    compare(top("igamma"), POSITIVE, INSIDE, order=0)
    compare(top("igammac"), POSITIVE, INSIDE, order=0)
    compare(named("round", decimals=1), INSIDE, order=0)


TRAPS = [
    (named("xlogy"), ([0.0, 0.0, 1.0], [2.0, -1.0, 0.0])),
    (named("xlog1py"), ([0.0, 0.0, 1.0], [2.0, -3.0, -1.0])),
    (named("entr"), ([0.0, -1.0, 1.0],)),
    (named("sinc"), ([0.0, 1.0],)),
    (named("erfinv"), ([1.0, -1.0, 0.0, 2.0],)),
    (named("logit"), ([0.0, 1.0, 0.5, -1.0, 2.0],)),
    (named("logit", eps=0.1), ([0.0, 0.1, 0.5, 0.9, 2.0],)),
    (named("i0"), ([0.0, -2.0],)),
    (named("i0e"), ([0.0, -2.0],)),
    (named("i1"), ([0.0, -2.0],)),
    (named("i1e"), ([0.0, -2.0],)),
    (named("ndtri"), ([0.0, 1.0, 2.0],)),
    (named("log_ndtr"), ([-40.0, 0.0, 40.0],)),
    (named("erfc"), ([-30.0, 0.0, 10.0],)),
    (named("gammaln"), ([0.0, -0.5, 1.0],)),
    (top("acosh"), ([1.0, 0.5],)),
    (top("rsqrt"), ([0.0, -1.0],)),
]


@pytest.mark.parametrize(("function", "values"), TRAPS)
def test_edges_like_pytorch(function, values):
    compare(function, *(np.array(v) for v in values), order=1, tolerance=1e-12)


def test_where_pytorch_gives_nan():
    """The differences that the docs list."""
    y = torch.tensor([0.0], dtype=torch.float64, requires_grad=True)
    torch.special.xlogy(torch.tensor([0.0], dtype=torch.float64), y).sum().backward()
    assert y.grad.item() == 0
    x = torch.tensor([0.0], dtype=torch.float64, requires_grad=True)
    torch.special.gammainc(torch.tensor([1.0], dtype=torch.float64), x).sum().backward()
    assert x.grad.item() == 1
    x = torch.tensor([0.0], requires_grad=True)
    torch.hypot(x, torch.tensor([0.0])).sum().backward()
    assert x.grad.item() == 0
    x = torch.tensor([-math.inf], requires_grad=True)
    torch.logaddexp(x, torch.tensor([-math.inf])).sum().backward()
    assert x.grad.item() == 0.5


def test_bad_input():
    x = torch.tensor([1.0])
    with pytest.raises(ShapeError, match=r"polygamma\(n, x\) does not support negative n") as caught:
        torch.special.polygamma(-1, x)
    assert caught.value.where.file == __file__
    with pytest.raises(ShapeError, match="p has to be greater than or equal to 1") as caught:
        torch.special.multigammaln(x, 0)
    assert caught.value.where.file == __file__
    a = torch.tensor([1.0], requires_grad=True)
    with pytest.raises(DifferentiationError, match="zeta has no derivative rule for operand 0"):
        torch.special.zeta(a + 1, x).sum().backward()
    with pytest.raises(TypeError, match=r"erfcx\(\): argument 'input' \(position 1\) must be Tensor, not float"):
        torch.special.erfcx(1.0)
