"""No silent constants: what would bake a value in is right at every later call, or an error with the user's line.

Three lists: programs that are refused, programs that go another way for other types, and values that change between two
calls. Each program is run again with other values, and compared with itself in plain NumPy.
"""

import array
import collections
import contextlib
import contextvars
import copy
import ctypes
import dataclasses
import enum
import functools
import inspect
import itertools
import json
import math
import operator
import os
import pickle
import random
import secrets
import statistics
import struct
import threading
import time
import types
import uuid
import weakref

import numpy as np
import pytest
import scipy.integrate
import scipy.interpolate
import scipy.ndimage
import scipy.optimize
import scipy.sparse
import scipy.stats

import tracegrad as tg
from tracegrad.errors import TracegradError

X = np.array([0.5, 1.5, 2.0])
CALLS = (X, np.array([3.0, 0.25, 1.0]), np.array([1.0, 2.0, 4.0]))
MASKED = np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0])
MATRIX = np.array([[1.0, 2.0, 3.0]]).view(np.matrix)
LEFT = {"list": [], "dict": {}, "nested": {"z": []}, "default": collections.defaultdict(list)}
HOLDER = types.SimpleNamespace(cache=None)
WRITTEN = np.ones(3)
RNG = np.random.default_rng(0)
SPLINE = scipy.interpolate.CubicSpline([0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 4.0, 9.0, 16.0])
COUNT = itertools.count(1)
ITERATOR = iter([1.0, 2.0])
NORMAL = scipy.stats.norm(0.0, 1.0)


def quietly(act, otherwise):
    """What users write around code that may fail."""
    try:
        return act()
    except Exception:  # noqa: BLE001
        return otherwise


def suppressed(x):
    with contextlib.suppress(Exception):
        x = x * float(x[0])
    return x


def in_finally(x):
    try:
        return x * float(x[0])
    finally:
        x = 1.0


def while_small(x):
    while x[0] < 4:
        x = x * 2
    return x


def asserted(x):
    assert x[0] < 100
    return x * 2


def left_global(x):
    global LEAKED
    LEAKED = x * 2
    return x


def left_attribute(x):
    HOLDER.cache = x * 2
    return x


def left_item(x):
    LEFT["dict"]["x"] = x * 2
    return x


def written(x):
    x[0] = 1.0
    return x


def written_in_place(x):
    x += 1.0
    return x


def written_outside(x):
    WRITTEN[0] = x[0]
    return x * WRITTEN


def written_by_sort(x):
    x.sort()
    return x


def removed(x):
    values = [0.5, 1.0]
    values.remove(x[0])
    return x * len(values)


REFUSED = {
    # numbers
    "float": lambda x: x * float(x[0]),
    "int": lambda x: x * int(x[0]),
    "complex": lambda x: x * complex(x[0]).real,
    "bool": lambda x: x if x[0] else -x,
    "item": lambda x: x * x[0].item(),
    "np.float64": lambda x: x * np.float64(x[0]),
    "np.float32": lambda x: x * np.float32(x[0]),
    "np.int64": lambda x: x * np.int64(x[1]),
    "round": lambda x: x * round(x[0], 1),
    "hash": lambda x: x * (hash(x[0]) % 7),
    "is_integer": lambda x: x * x[0].is_integer(),
    "math.gamma": lambda x: x * math.gamma(x[0]),
    "math.frexp": lambda x: x * math.frexp(x[0])[0],
    "math.isclose": lambda x: x * math.isclose(x[0], 0.5),
    "statistics.fmean": lambda x: x * statistics.fmean(x),
    # conditions
    "condition": lambda x: x if x[0] > 1 else -x,
    "chained": lambda x: x if 0 < x[0] < 1 else -x,
    "while": while_small,
    "assert": asserted,
    "or": lambda x: x * (x[0] or 1.0),
    "not": lambda x: x * (1.0 if not x[0] else 2.0),
    "max": lambda x: x * max(x, key=abs),
    "sorted": lambda x: np.array(sorted(x)),
    "in list": lambda x: x * (2.0 if x[0] in [0.5, 7.0] else 1.0),
    "in array": lambda x: x * (2.0 if 0.5 in x else 1.0),
    "list.index": lambda x: x * list(x).index(x[1]),
    "list.remove": removed,
    "any": lambda x: x * any(v > 1 for v in x),
    "filter": lambda x: np.stack(list(filter(lambda v: v > 0, x))),
    "np.any": lambda x: x * (2.0 if np.any(x > 1) else 1.0),
    "np.array_equal": lambda x: x * 2 if np.array_equal(x, x * 1.5) else x,
    # keys
    "key of a dict": lambda x: x * {0.5: 2.0}.get(x[0], 1.0),
    "element of a set": lambda x: x * (2.0 if x[0] in {0.5, 3.0} else 1.0),
    # texts and bytes
    "percent": lambda x: x * len("%g" % x[0]),  # noqa: UP031
    "format": lambda x: x * len(f"{x[0]:.3f}"),
    "np.array2string": lambda x: x * len(np.array2string(x)),
    "bytes": lambda x: np.frombuffer(bytes(x)) * 2,
    "tobytes": lambda x: np.frombuffer(x.tobytes()) * 2,
    "struct": lambda x: x * len(struct.pack("d", x[0])),
    "pickle": lambda x: pickle.loads(pickle.dumps(x)) * 2,
    "json": lambda x: x * json.loads(json.dumps(float(x[0]))),
    # other arrays
    "__array__": lambda x: x.__array__() * 2,
    "data": lambda x: np.frombuffer(x.data) * 2,
    "ctypes": lambda x: x * x.ctypes.data,
    "array.array": lambda x: np.array(array.array("d", x)) * 2,
    "view": lambda x: x.view(np.int64) % 7,
    "flags": lambda x: x * (2.0 if x.flags.c_contiguous else 3.0),
    "object": lambda x: np.array([x[0], x[1]], dtype=object) * 2,
    "masked": lambda x: np.ma.array(x, mask=[0, 1, 0]).filled(0.0),
    "masked from outside": lambda x: x * MASKED,
    "masked from outside first": lambda x: MASKED * x,
    "matrix": lambda x: np.asmatrix(x),
    "matrix from outside": lambda x: MATRIX * x[:, None],
    "matrix from outside second": lambda x: x * MATRIX,
    "longdouble": lambda x: x.astype(np.longdouble) * 2,
    "float16": lambda x: x.astype(np.float16) * 2,
    "shares_memory": lambda x: x * (2.0 if np.shares_memory(x, x[1:]) else 3.0),
    # code that is not traced
    "vectorize": lambda x: np.vectorize(lambda v: v * 2, signature="(n)->(n)")(x),
    "frompyfunc": lambda x: np.frompyfunc(lambda v: v * 2, 1, 1)(x),
    "nditer": lambda x: sum(v for v in np.nditer(x)),
    "testing": lambda x: np.testing.assert_allclose(x, X, rtol=100) or x,
    "quad": lambda x: x * scipy.integrate.quad(lambda t: t**2, 0.0, x[0])[0],
    "quad inside": lambda x: x * scipy.integrate.quad(lambda t: t**2 * x[0], 0.0, 1.0)[0],
    "brentq": lambda x: x * scipy.optimize.brentq(lambda t: t - x[0], -10, 10),
    "solve_ivp": lambda x: scipy.integrate.solve_ivp(lambda t, y: -y * x[0], (0, 1), [1.0]).y[0, -1] * x,
    "spline": lambda x: SPLINE(x),
    "spline made of it": lambda x: scipy.interpolate.CubicSpline([0.0, 1.0, 2.0], x)(0.5),
    "ndimage": lambda x: scipy.ndimage.distance_transform_edt(x),
    "sparse made of it": lambda x: scipy.sparse.csr_array(x[None, :]).toarray() * 2,
    # exceptions that are swallowed
    "except": lambda x: x * quietly(lambda: float(x[0]), 1.0),
    "except of a function that is not traced": lambda x: x * quietly(lambda: np.busday_count(x, x), 1.0),
    "except of a function of math": lambda x: x * quietly(lambda: math.gamma(x[0]), 1.0),
    "except of a method": lambda x: x * quietly(lambda: x.byteswap(), 1.0),
    "hasattr": lambda x: x * (2.0 if hasattr(x, "getfield") else 3.0),
    "getattr with a default": lambda x: x * (2.0 if getattr(x, "base", 1) is None else 3.0),
    "suppress": suppressed,
    "finally": in_finally,
    # values left outside
    "left in a global": left_global,
    "left in an attribute": left_attribute,
    "left in a list": lambda x: LEFT["list"].append(x[0]) or x,
    "left in a dict": left_item,
    "left in a list in a dict": lambda x: LEFT["nested"]["z"].append(x) or x,
    "left in a defaultdict": lambda x: LEFT["default"]["a"].append(x) or x,
    # arguments and outside arrays written to
    "written": written,
    "written in place": written_in_place,
    "written outside": written_outside,
    "sorted in place": written_by_sort,
    "written by out=": lambda x: np.multiply(x, 2, out=WRITTEN),
    "written by copyto": lambda x: np.copyto(x, 3.0) or x,
    "written by add.at": lambda x: np.add.at(x, [0], 3.0) or x,
    # chance, clocks, iterators
    "random": lambda x: x * random.random(),
    "np.random": lambda x: x * np.random.rand(),  # noqa: NPY002
    "a generator": lambda x: x * RNG.normal(),
    "secrets": lambda x: x * secrets.randbelow(1000),
    "uuid": lambda x: x * uuid.uuid4().int,
    "urandom": lambda x: x * os.urandom(1)[0],
    "rvs": lambda x: x * scipy.stats.norm.rvs(),
    "rvs of a frozen distribution": lambda x: x * NORMAL.rvs(),
    "time": lambda x: x * time.time(),
    "perf_counter": lambda x: x * time.perf_counter(),
    "chance swallowed": lambda x: x * quietly(lambda: time.time(), 1.0),
    "an iterator": lambda x: x * next(COUNT),
    "a loop over an iterator": lambda x: x * sum(k for k in ITERATOR),
}
"""Refused, with the line of the program."""


@pytest.mark.parametrize("name", REFUSED)
def test_refused_at_the_users_line(name):
    function = REFUSED[name]
    given = X.copy()
    compiled = tg.jit(function, compile="never")
    for _ in range(2):  # and nothing is left that would be taken up by the next call
        with pytest.raises(TracegradError) as caught:
            compiled(given)
        lines, first = inspect.getsourcelines(function)
        where = caught.value.where
        assert where is not None
        assert where.file == __file__
        helper = range(*(lambda s: (s[1], s[1] + len(s[0])))(inspect.getsourcelines(quietly)))
        assert first <= where.line < first + len(lines) or where.line in helper
        assert "numba" not in str(caught.value).lower()
    np.testing.assert_array_equal(given, X)
    assert LEFT == {"list": [], "dict": {}, "nested": {"z": []}, "default": {}}
    assert HOLDER.cache is None
    np.testing.assert_array_equal(WRITTEN, np.ones(3))


# -- types -------------------------------------------------------------------------------------------------------------


@functools.singledispatch
def dispatched(x):
    return x * 3


@dispatched.register
def _(x: np.ndarray):
    return x * 2


class Dispatching:
    @functools.singledispatchmethod
    def by(self, x):
        return x * 3

    @by.register
    def _(self, x: np.ndarray):
        return x * 2


DISPATCHING = Dispatching()


def matched(x):
    match x:
        case np.ndarray():
            return x * 2
        case _:
            return x


def matched_scalar(x):
    match x[0]:
        case int():
            return x
        case float():
            return x * 2
    return x * 3


def matched_class(x):
    match x[0]:
        case np.float64():
            return x * 2
    return x


def unhashable(x):
    try:
        return x * len({x})
    except TypeError:
        return x * 3


def copied(x):
    y, z = copy.copy(x), copy.deepcopy({"x": x})
    y[0] = 5.0
    z["x"][1] = 7.0
    return y * z["x"]


def in_a_thread(x):
    found = []
    thread = threading.Thread(target=lambda: found.append(x * 2))
    thread.start()
    thread.join()
    return found[0]


def cached_inside(x):
    @functools.cache
    def element(i):
        return x[i] * 2

    return element(0) + element(1) + element(0)


TYPES = {
    "isinstance": lambda x: x * (2.0 if isinstance(x, np.ndarray) else 1.0),
    "isinstance of an element": lambda x: x * (2.0 if isinstance(x[0], float) else 1.0),
    "type is": lambda x: x * (2.0 if type(x) is np.ndarray else 1.0),
    "type ==": lambda x: x * (2.0 if type(x) == np.ndarray else 1.0),  # noqa: E721
    "type in": lambda x: x * (2.0 if type(x) in (np.ndarray, list) else 1.0),
    "type of an element": lambda x: x * (2.0 if type(x[0]) is np.float64 else 1.0),
    "issubclass": lambda x: x * (2.0 if issubclass(type(x), np.ndarray) else 1.0),
    "type of a type": lambda x: x * (2.0 if isinstance(np.float64, type) and type("T", (), {}).__name__ == "T" else 1.0),
    "isscalar": lambda x: x * (2.0 if np.isscalar(x[0]) else 1.0),
    "callable": lambda x: x * (2.0 if callable(x) else 1.0),
    "iterable": lambda x: x * (2.0 if isinstance(x, collections.abc.Iterable) else 1.0),
    "sequence": lambda x: x * (2.0 if isinstance(x, collections.abc.Sequence) else 1.0),
    "len of an element": lambda x: x * quietly(lambda: len(x[0]), 3),
    "match": matched,
    "match of an element": matched_scalar,
    "match of an element's class": matched_class,
    "__class__": lambda x: x * (2.0 if x.__class__ is np.ndarray else 1.0),
    "__class__ of an element": lambda x: x * (2.0 if x[0].__class__ is np.float64 else 1.0),
    "the name of __class__": lambda x: x * len(x.__class__.__name__),
    "the name of a type": lambda x: x * len(type(x).__name__) * len(type(x[0]).__name__),
    "the hash of an array": unhashable,
    "singledispatch": lambda x: dispatched(x),
    "singledispatchmethod": lambda x: DISPATCHING.by(x),
    "copies": copied,
    "a thread": in_a_thread,
    "a cache inside": cached_inside,
    "tolist": lambda x: np.array([v * 2 for v in x.tolist()]),
    "unpacking": lambda x: (lambda a, *rest: np.stack([a * 2, *rest]))(*x),
    "a generator": lambda x: sum(v * v for v in x),
    "reduce": lambda x: functools.reduce(operator.mul, x) * x,
    "accumulate": lambda x: np.stack(list(itertools.accumulate(x))),
    "asarray": lambda x: np.asarray(x) + np.array(x) + np.ascontiguousarray(x[::-1]),
}
"""Right, though the function looks at types or takes its argument apart."""


@pytest.mark.parametrize("name", TYPES)
def test_right_at_every_call(name):
    function = TYPES[name]
    compiled = tg.jit(function, compile="never")
    for x in CALLS:
        same(compiled(x), function(x))


def same(found, expected):
    assert np.asarray(found).dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def stored(x):
    y = x.copy()
    z = y
    y += 1
    y[...] = y * 2
    y[()] = y + x
    return z * 1.0


def taken_by_kind(x):
    return x * (2.0 if isinstance(x, np.ndarray) else 3.0) * (5.0 if isinstance(x, (float, np.generic)) else 7.0)


WITHOUT_AXES = {
    "isinstance": taken_by_kind,
    "isscalar": lambda x: x * (2.0 if np.isscalar(x) else 3.0),
    "type": lambda x: x * (2.0 if type(x) is np.ndarray else 3.0),
    "__class__": lambda x: x * (2.0 if x.__class__ is np.ndarray else 3.0),
    "stored": stored,
    "out": lambda x: np.exp(x, out=x.copy()) * 1.0,
    "the shape": lambda x: x.reshape(1) * len(x.shape + (1,)) + x.ndim + x.size,
}
"""What an array without axes does otherwise than a scalar."""


@pytest.mark.parametrize("name", WITHOUT_AXES)
def test_an_array_without_axes_is_an_array(name):
    function = WITHOUT_AXES[name]
    compiled = tg.jit(function, compile="never")
    for x in (np.array(3.0), np.array(0.5, np.float32), np.float64(2.0), np.array(4.0)):
        if isinstance(x, np.ndarray) or name not in ("stored", "out"):
            same(compiled(x), function(x))
    point = np.array(0.5)
    expected = (function(np.array(0.5 + 1e-6)) - function(np.array(0.5 - 1e-6))) / 2e-6
    np.testing.assert_allclose(tg.grad(lambda x: np.sum(function(x)))(point), np.sum(expected), rtol=1e-8)


@pytest.mark.parametrize("wrap", [lambda f: tg.jit(f, compile="never"), tg.grad])
def test_an_argument_without_axes_is_not_written_to(wrap):
    def f(x):
        x += 1.0
        return x

    given = np.array(3.0)
    with pytest.raises(TracegradError, match="x is an argument") as caught:
        wrap(f)(given)
    assert caught.value.where.line == f.__code__.co_firstlineno + 1
    assert given == 3.0
    assert wrap(f)(np.float64(3.0)) in (4.0, 1.0)


INTS = {
    "text": lambda x, n: x * len(f"{n}"),
    "key": lambda x, n: x * {"a2": 2.0, "a13": 3.0}[f"a{n}"],
    "str": lambda x, n: x * int(str(n)),
    "loop": lambda x, n: sum(x for _ in range(n)),
    "condition": lambda x, n: x if n > 2 else -x,
    "index": lambda x, n: x[n % 3] * x,
    "type": lambda x, n: x * (2.0 if type(n) is int else 1.0),
    "list": lambda x, n: x * list(range(20))[n],
    "power": lambda x, n: x**n,
}


@pytest.mark.parametrize("name", INTS)
def test_ints_that_change_between_calls(name):
    function = INTS[name]
    compiled = tg.jit(function, compile="never")
    for n in (2, 13, 2):
        same(compiled(X, n), function(X, n))


EVERY_LAYOUT = tg.jit(lambda x: x[::2] * 2.0 + x[1::2], compile="never")


@pytest.mark.parametrize(
    "x",
    [
        np.arange(6.0)[::-1],
        np.arange(12.0)[::2],
        np.broadcast_to(2.0, 6),
        np.lib.stride_tricks.as_strided(np.arange(8.0), (6,), (8,)),
        np.arange(6.0).astype(">f8"),
        np.arange(6.0, dtype=np.float32),
        np.arange(6),
        np.array([True, False] * 3),
        np.arange(7.0)[1:],
        np.arange(4.0),
        np.empty(0),
    ],
    ids=str,
)
def test_one_function_for_every_layout(x):
    x.flags.writeable = False
    same(EVERY_LAYOUT(x), x[::2] * 2.0 + x[1::2])


# -- what changes between calls ----------------------------------------------------------------------------------------


@dataclasses.dataclass(slots=True)
class Slots:
    a: object
    b: object = None


class Both:
    __slots__ = ("__dict__", "a")


class Plain:
    k = 2.0
    seen = [2.0]
    d = types.SimpleNamespace(a=2.0)

    def __init__(self):
        self.s = 1.0

    def by(self, x):
        return x * self.k * self.s

    @classmethod
    def of_class(cls, x):
        return x * cls.k * SCALE["by"]

    @staticmethod
    def of_none(x):
        return x * SCALE["by"]

    @property
    def twice(self):
        return self.k * 2


class Derived(Plain):
    def by(self, x):
        return super().by(x) * SCALE["by"]


class Made:
    def __init__(self, x):
        self.x = x

    def value(self):
        return self.x * SCALE["by"] * FACTOR


class Twice:
    """Wraps a function, and does more than it."""

    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.function = function

    def __call__(self, x):
        return 2 * self.function(x)


class Descriptor:
    v = 2.0

    def __get__(self, owner, kind=None):
        return self.v


class Described:
    d = Descriptor()


class ListOfOurs(list):
    pass


class DictOfOurs(dict):
    pass


class Colour(enum.Enum):
    RED = 2.0
    BLUE = 3.0


SCALE = {"by": 2.0}
FACTOR = np.ones(3)


def tripled(x):
    return x * 3


def item(container, key=0, value=3.0):
    return lambda x: x * container[key], lambda: container.__setitem__(key, value)


def attribute(owner, name="a", value=3.0):
    return lambda x: x * getattr(owner, name), lambda: setattr(owner, name, value)


def scaled(function):
    return function, lambda: SCALE.__setitem__("by", SCALE["by"] + 1)


def with_a_function_attribute():
    def f(x):
        return x * f.k

    f.k = 2.0
    return f, lambda: setattr(f, "k", 3.0)


def with_a_rebound_array():
    w = np.ones(3)

    def f(x):
        return x * w

    def change():
        nonlocal w
        w = np.arange(3.0)

    return f, change


def with_a_method_replaced():
    class Local(Plain):
        def by(self, x):
            return x

    local = Local()
    return lambda x: local.by(x), lambda: setattr(Local, "by", lambda self, x: x * 100)


def with_a_context():
    variable = contextvars.ContextVar("variable")
    variable.set(2.0)
    return lambda x: x * variable.get(), lambda: variable.set(3.0)


def with_the_environment(read):
    os.environ["SILENT"] = "2"
    return lambda x: x * float(read()), lambda: os.environ.__setitem__("SILENT", "3")


def with_a_weak_reference():
    plain = Plain()
    reference = weakref.ref(plain)
    return lambda x: x * reference().s + 0 * plain.s, lambda: setattr(plain, "s", 3.0)


def with_memory_seen(dtype):
    values = np.array([1, 2, 3], dtype=dtype)
    return lambda x: x * values.astype(float), lambda: values.__setitem__(0, 5)


def with_a_bound_method(make, name):
    container = make()
    method = getattr(container, name)
    return lambda x: x * method(0), lambda: container.__setitem__(0, 5.0)


def with_functions_in(make):
    holder = make(Plain.of_none)
    return scaled(lambda x: (holder.a if isinstance(holder, Slots) else holder[0])(x))


def with_both():
    both = Both()
    both.a = 2.0
    return attribute(both)


def with_an_argument_of_dispatch():
    function = functools.singledispatch(tripled)
    return lambda x: function(x), lambda: function.register(np.ndarray)(lambda x: x * 7)


CHANGED = {
    "an array rebound": with_a_rebound_array,
    "an array in a list": lambda: item([np.ones(3)], value=np.arange(3.0)),
    "an array in a slot": lambda: (lambda s: (lambda x: x * s.b, lambda: s.b.__setitem__(0, 9.0)))(Slots(1.0, np.ones(3))),
    "an array in a deque": lambda: item(collections.deque([np.ones(3)]), value=np.arange(3.0)),
    "a float16 array": lambda: with_memory_seen(np.float16),
    "a longdouble array": lambda: with_memory_seen(np.longdouble),
    "a byte-swapped array": lambda: with_memory_seen(">f8"),
    "an object array": lambda: item(np.array([1.0, 2.0], dtype=object)),
    "a structured array": lambda: (lambda a: (lambda x: x * a["a"], lambda: a["a"].__setitem__(0, 5.0)))(
        np.zeros(3, dtype=[("a", "f8"), ("b", "i4")])
    ),
    "a masked sum": lambda: (lambda m: (lambda x: x * m.sum(), lambda: m.__setitem__(0, 5.0)))(MASKED.copy()),
    "a mask": lambda: (lambda m: (lambda x: x[m], lambda: m.__setitem__(0, False)))(np.array([True, False, True])),
    "a number of an array": lambda: (lambda a: (lambda x: x * float(a[0]), lambda: a.__setitem__(0, 5.0)))(np.ones(2)),
    "a broadcast array": lambda: (
        lambda a: (lambda b: (lambda x: x * b, lambda: a.__setitem__((), 5.0)))(np.broadcast_to(a, 3))
    )(np.array(1.0)),
    "an item of a list": lambda: item([1.0, 2.0]),
    "an item of a nested list": lambda: (lambda v: (lambda x: x * v[0][0], lambda: v[0].__setitem__(0, 3.0)))(([1.0],)),
    "an item of a dict": lambda: item({"a": 1.0}, "a"),
    "a list of one's own": lambda: item(ListOfOurs([1.0])),
    "a dict of one's own": lambda: item(DictOfOurs(a=1.0), "a"),
    "a counter": lambda: item(collections.Counter(a=1), "a"),
    "a chain map": lambda: item(collections.ChainMap({"a": 1.0}), "a"),
    "a user dict": lambda: item(collections.UserDict(a=1.0), "a"),
    "a user list": lambda: item(collections.UserList([1.0])),
    "a proxy of a dict": lambda: (lambda d: (item(types.MappingProxyType(d), "a")[0], lambda: d.__setitem__("a", 3.0)))(
        {"a": 1.0}
    ),
    "a deque": lambda: item(collections.deque([1.0])),
    "a set": lambda: (lambda s: (lambda x: x * (2.0 if 3 in s else 1.0), lambda: s.add(3)))({1, 2}),
    "bytes": lambda: item(bytearray(b"\x01"), value=3),
    "an array of Python": lambda: item(array.array("d", [1.0])),
    "a view of memory": lambda: item(memoryview(np.ones(3))),
    "a number of C": lambda: attribute(ctypes.c_double(2.0), "value"),
    "an attribute in a slot": lambda: attribute(Slots(2.0)),
    "a slot beside attributes": with_both,
    "an attribute": lambda: attribute(types.SimpleNamespace(a=2.0)),
    "an attribute of a thread": lambda: (lambda v: (setattr(v, "a", 2.0), attribute(v))[1])(threading.local()),
    "an enum": lambda: (lambda h: (lambda x: x * h.a.value, lambda: setattr(h, "a", Colour.BLUE)))(
        types.SimpleNamespace(a=Colour.RED)
    ),
    "an attribute of a class": lambda: attribute(type("Local", (Plain,), {"k": 2.0}), "k"),
    "an inherited attribute": lambda: (
        lambda p: (lambda c: (lambda x: x * c.k, lambda: setattr(p, "k", 9.0)))(type("Local", (p,), {}))
    )(type("Parent", (Plain,), {})),
    "a list in a class": lambda: item(Plain.seen, value=Plain.seen[0] + 1),
    "an object in a class": lambda: (lambda x: x * Plain.d.a, lambda: setattr(Plain.d, "a", Plain.d.a + 1)),
    "a new attribute of a class": lambda: (lambda c: (lambda x: x * getattr(c, "new", 2.0), lambda: setattr(c, "new", 3.0)))(
        type("Local", (Plain,), {})
    ),
    "a property": lambda: (lambda p: (lambda x: x * p.twice, lambda: setattr(p, "k", 5.0)))(Plain()),
    "a descriptor": lambda: (lambda d: (lambda x: x * d.d, lambda: setattr(vars(Described)["d"], "v", 5.0)))(Described()),
    "a method replaced": with_a_method_replaced,
    "what a method reads": lambda: scaled(Derived().by),
    "what a class method reads": lambda: scaled(lambda x: Plain.of_class(x)),
    "what a static method reads": lambda: scaled(lambda x: Plain.of_none(x)),
    "what a method of an object made inside reads": lambda: scaled(lambda x: Made(x).value()),
    "an array that it reads": lambda: (lambda x: Made(x).value(), lambda: FACTOR.__setitem__(0, FACTOR[0] + 1)),
    "what a function in a slot reads": lambda: with_functions_in(Slots),
    "what a function in a deque reads": lambda: with_functions_in(lambda f: collections.deque([f])),
    "what a wrapper does": lambda: (lambda t: (lambda x: t(x), lambda: setattr(t, "function", np.negative)))(Twice(tripled)),
    "an attribute of a function": with_a_function_attribute,
    "an implementation registered": with_an_argument_of_dispatch,
    "a method of a list": lambda: with_a_bound_method(lambda: [1.0, 2.0], "__getitem__"),
    "a method of a dict": lambda: with_a_bound_method(lambda: {0: 1.0}, "get"),
    "a method of an array": lambda: with_a_bound_method(lambda: np.ones(3), "sum"),
    "keywords of a partial": lambda: (lambda p: (lambda x: p(x), lambda: p.keywords.__setitem__("k", 5.0)))(
        functools.partial(lambda x, k: x * k, k=2.0)
    ),
    "a context variable": with_a_context,
    "a weak reference": with_a_weak_reference,
    "the environment": lambda: with_the_environment(lambda: os.environ["SILENT"]),
    "the environment by get": lambda: with_the_environment(lambda: os.environ.get("SILENT", "1")),
    "the environment by getenv": lambda: with_the_environment(lambda: os.getenv("SILENT")),
    "a spline": lambda: (lambda s: (lambda x: x * s(0.5), lambda: s.c.__setitem__((3, 0), 5.0)))(copy.deepcopy(SPLINE)),
    "a sparse matrix": lambda: (lambda s: (lambda x: x * s.sum(), lambda: s.data.__setitem__(0, 5.0)))(
        scipy.sparse.csr_array(np.eye(3))
    ),
    "a polynomial": lambda: (lambda p: (lambda x: p(x), lambda: p.coeffs.__setitem__(0, 5.0)))(np.poly1d([1.0, 2.0])),
    "a closure of a compiled function": lambda: (
        lambda k: (lambda h: (lambda x: h(x), lambda: k.__setitem__(0, 3.0)))(tg.jit(lambda x: x * k[0], compile="never"))
    )([2.0]),
}
"""Functions with what changes something they see between two calls."""


@pytest.mark.parametrize("name", CHANGED)
def test_what_changes_between_calls_is_seen(name):
    function, change = CHANGED[name]()
    compiled = tg.jit(function, compile="never")
    for x in CALLS[:2]:
        same(compiled(x), function(x))
    assert compiled.stats.traces == 1, "nothing has changed yet"
    before = np.asarray(function(X))
    change()
    assert not np.array_equal(before, function(X)), "the change makes a difference"
    for x in CALLS:
        same(compiled(x), function(x))


@dataclasses.dataclass
class Model:
    w: object

    def __call__(self, x):
        out = np.zeros(3)
        out[:] = self.w * x * SCALE["by"]
        return out

    def doubled(self):
        return dataclasses.replace(self, w=self.w * 2)


def test_methods_of_arguments_are_followed():
    def f(model, x):
        return model(x), model.doubled()

    compiled = tg.jit(f, compile="never")
    for _ in range(2):
        value, model = compiled(Model(2.0), X)
        same(value, Model(2.0)(X))
        assert type(model) is Model
        same(model(X), Model(4.0)(X))
        SCALE["by"] += 1


def test_a_value_of_an_outer_trace_is_not_lost():
    leaked = []

    def f(x):
        inner = tg.grad(lambda y: np.sum(y**3 * x))
        leaked.clear()
        return inner(x)

    same(tg.jit(f, compile="never")(X), 3 * X**3)
    kept = types.MappingProxyType({}), []

    class Slot:
        __slots__ = ("x",)

    slot = Slot()

    def g(x):
        slot.x = x * 2
        return x

    tg.jit(g, compile="never")(X)
    with pytest.raises(TracegradError, match="after its trace had ended"):
        slot.x + 1
    assert kept
