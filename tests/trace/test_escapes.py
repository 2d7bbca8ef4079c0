"""Every way out of a trace is an error that names the user's line, whatever becomes of the exception."""

import inspect
import math
import re

import numpy as np
import pytest

import tracegrad
import tracegrad as tg
from tracegrad.errors import ConditionError, DtypeError, EscapeError, ShapeError, TraceError

X = np.array([0.5, -1.0, 2.0])
OUTSIDE = np.zeros(3)


def line_of(function, text):
    """The line of a function's source that holds a text."""
    lines, first = inspect.getsourcelines(function)
    return first + next(k for k, line in enumerate(lines) if text in line)


def to_float(x):
    return math.pi * float(x[0])  # here


def to_int(x):
    return int(x[0])  # here


def to_bool(x):
    if x[0] > 0:  # here
        return x
    return -x


def to_while(x):
    while np.sum(x) < 3:  # here
        x = x * 2
    return x


def by_and(x):
    return x if 0 < x[0] < 1 else -x  # here


def by_max(x):
    return max(x[0], x[1], key=abs)  # here


def to_item(x):
    return x[0].item()  # here


def to_array(x):
    return np.ma.masked_array(x)  # here


def to_format(x):
    return x, f"{x[0]:.3f}"  # here


def to_outside(x):
    OUTSIDE[1] = x[0]  # here
    return x


def to_own_view(x):
    OUTSIDE[1:][0] = x[0]  # here
    return x


def swallowed(x):
    try:
        scale = float(x[0])  # here
    except Exception:  # noqa: BLE001 - what users write
        scale = 1.0
    return x * scale


def replaced(x):
    try:
        scale = float(x[0])  # here
    except TypeError:
        raise ValueError("replaced") from None
    return x * scale


def by_chain(x):
    return np.where(0.0 < x[0] < 1.0, x, -x)  # here


def by_words(x):
    return np.where(x[0] > 0.0 and x[1] > 0.0, x, -x)  # here


def by_assert(x):
    assert np.all(x > 0.0), "positive"  # here
    return np.log(x)


def bad_shape(x):
    return np.zeros((2, x[0]))  # here


ESCAPES = (to_float, to_int, to_item, to_array, to_format, to_outside, to_own_view, swallowed, replaced)
CONDITIONS = (to_bool, to_while, by_and, by_max, by_chain, by_words, by_assert)


@pytest.mark.parametrize("function", [*ESCAPES, *CONDITIONS])
def test_escapes_name_the_line(tool, function):
    kind = ConditionError if function in CONDITIONS else EscapeError
    with pytest.raises(kind) as caught:
        tool.trace(function, X)
    assert caught.value.where.file == __file__
    assert caught.value.where.line == line_of(function, "# here")
    assert caught.value.where.text.endswith("# here")
    assert caught.value.fix


@pytest.mark.parametrize(
    ("function", "advice"),
    [
        (to_while, r"^run a fixed number of steps"),
        (by_words, r"^& stands for and"),
        (by_max, r"^np\.maximum\(a, b\)"),
        (by_chain, r"^write a < x < b as \(a < x\) & \(x < b\)"),
        (by_assert, r"^assert what the values must be before the call"),
        (to_bool, r"^np\.where"),
    ],
)
def test_the_advice_is_for_the_condition_that_stands_there(tool, function, advice):
    with pytest.raises(ConditionError) as caught:
        tool.trace(function, X)
    assert re.search(advice, caught.value.fix)


def test_what_happened_is_said(tool):
    with pytest.raises(EscapeError, match="outside the trace"):
        tool.trace(to_outside, X)
    with pytest.raises(EscapeError, match=r"float\(x\) needs the value of <traced float64\[\] from .*test_escapes.py:\d+>"):
        tool.trace(to_float, X)
    with pytest.raises(ConditionError, match="a condition on <traced bool"):
        tool.trace(to_bool, X)
    assert not OUTSIDE.any()


def test_a_store_by_code_that_is_no_twin(tool):
    class Local:
        __slots__ = ("a",)  # such objects are not copied, so their arrays stay as they are

        def __init__(self):
            self.a = np.zeros(3)

    holder = Local()

    def f(x):
        holder.a[0] = x[0]
        return x

    with pytest.raises(EscapeError, match="storing into an array from outside"):
        tool.trace(f, X)


def test_arguments_are_never_written(tool):
    def by_item(x):
        x[0] = 1.0  # here
        return x

    def by_operator(x):
        x += 1.0  # here
        return x

    def by_view(x):
        y = x.reshape(3, 1)
        y[0, 0] = 2.0  # here
        return x

    def by_out(x):
        np.add(x, 1.0, out=x)  # here
        return x

    for function in (by_item, by_operator, by_view, by_out):
        with pytest.raises(TraceError, match="arguments are never written to") as caught:
            tool.trace(function, X)
        assert caught.value.where.line == line_of(function, "# here")
        assert "x = x.copy()" in caught.value.fix


def test_results_that_are_no_arrays(tool):
    def f(x):
        return {"a": [x, "text"]}

    with pytest.raises(TraceError, match=r"the result of f\['a'\]\[1\] is a str, not an array") as caught:
        tool.trace(f, X)
    assert caught.value.where.line == line_of(f, "def f")
    with pytest.raises(TraceError, match="is an object, not an array"):
        tool.trace(lambda x: object(), X)


def test_constant_results(tool):
    tool.check(lambda x: (1.5, 2, True, np.arange(3), None, np.float32(1)), X)


def test_a_traced_value_after_its_trace(tool):
    kept = {}

    class Sneaky:
        __slots__ = ("box",)

    sneaky = Sneaky()
    sneaky.box = kept

    def f(x):
        sneaky.box["x"] = x
        return x

    tool.trace(f, X)
    for use in (lambda x: x + 1, lambda x: float(x[0]), lambda x: bool(x), np.sum, np.asarray):
        with pytest.raises(TraceError, match="after its trace had ended") as caught:
            use(kept["x"])
        assert caught.value.where.file == __file__


def test_unknown_functions_name_the_nearest(tool):
    for function, name, near in (
        (lambda x: np.frexp(x), "np.frexp", ""),
        (lambda x: np.spacing(x), "np.spacing", ""),
        (lambda x: np.packbits(x), "np.packbits", ""),
        (lambda x: math.gamma(x[0]), "math.gamma", ""),
    ):
        with pytest.raises(TraceError, match=f"{name} is not traced") as caught:
            tool.trace(function, X)
        assert near in caught.value.fix
        assert caught.value.where.file == __file__


def test_arguments_that_a_function_does_not_take(tool):
    with pytest.raises(TraceError, match="casting="):
        tool.trace(lambda x: np.add(x, 1, casting="unsafe"), X)
    with pytest.raises(TraceError, match="fewer arguments"):
        tool.trace(lambda x: np.flip(x, nonsense=1), X)


def test_zero_dimensional_arrays_behave_as_in_numpy(tool):
    for function in (lambda x: len(x[0]), lambda x: list(x[0]), lambda x: [*x.sum()]):
        with pytest.raises(EscapeError, match="0-d"):
            tool.trace(function, X)

    def tolerant(x):
        try:
            len(x[0])
        except TypeError:
            return x * 2
        return x

    tool.check(tolerant, X)


def test_what_is_known_while_tracing_is_no_escape(tool):
    def f(x):
        n = np.array([1, 2])
        total = float(np.sum(np.ones(3)))
        return x[n] * total if n[0] == 1 else x, x[np.arange(3) > 1], x[int(n[1])], np.arange(2).tolist()[1] * x

    tool.check(f, X)


def test_in_place_operations_that_do_not_fit(tool):
    def cast(x):
        out = np.zeros(3, np.int64)
        out += x
        return out

    def grow(x):
        out = np.zeros(1)
        out += x
        return out

    def store(x):
        out = np.zeros(2)
        out[:] = x
        return out

    with pytest.raises(DtypeError, match="float64 into int64"):
        tool.trace(cast, X)
    with pytest.raises(ShapeError, match=r"gives shape \(3,\)"):
        tool.trace(grow, X)
    with pytest.raises(ShapeError, match="does not fit"):
        tool.trace(store, X)
    with pytest.raises(EscapeError):
        tool.trace(lambda x: np.add(x, 1, out=OUTSIDE), X)


def test_errors_beside_the_ops_have_lines(tool):
    def f(x):
        return x.astype(np.float16)  # here

    def g(x):
        return x * np.float16(1)  # here

    for function in (f, g):
        with pytest.raises(DtypeError, match="is not supported") as caught:
            tool.trace(function, X)
        assert caught.value.where.line == line_of(function, "# here")


def test_errors_of_the_users_code_pass(tool):
    def f(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        tool.trace(f, X)


def test_names_in_error_texts_exist():
    texts = "".join(
        inspect.getsource(module)
        for module in (
            tracegrad.symbolic,
            tracegrad.exits,
            tracegrad.namespaces,
            tracegrad.protocols,
            tracegrad.trace.creation,
            tracegrad.trace.tracer,
        )
    )
    for name in set(re.findall(r"\bnp\.([a-z_]+(?:\.[a-z_]+)?)\b", texts)):
        value = np
        for part in name.split("."):
            value = getattr(value, part, None) if not hasattr(np.ndarray, part) or hasattr(value, part) else value
        assert value is not None, name


def test_repr(tool):
    def f(x):
        shown.append(repr(x * 2))
        return x

    shown = []
    tool.trace(f, X)
    (text,) = shown
    assert re.fullmatch(rf"<traced float64\[3\] from {re.escape(__file__)}:{line_of(f, 'append')}>", text)


def stale_windows(x):
    work = x.copy()
    windows = np.lib.stride_tricks.sliding_window_view(work, 2)
    work[0] = 10.0
    return windows[0] * 2.0  # here


def stale_strides(x):
    work = x.copy()
    windows = np.lib.stride_tricks.as_strided(x=work, shape=(2, 2), strides=(work.strides[0], work.strides[0]))
    work += 1.0
    return np.sum(windows)  # here


@pytest.mark.parametrize("function", [stale_windows, stale_strides])
def test_windows_of_what_was_written_to_since(tool, function):
    with pytest.raises(EscapeError, match="is read after its array was written to") as caught:
        tool.trace(function, X)
    assert caught.value.where.line == line_of(function, "# here")
    assert "again after the write" in caught.value.fix


def test_windows_that_were_used_before_the_write(tool):
    def fine(x):
        work = x.copy()
        windows = np.lib.stride_tricks.sliding_window_view(work, 2)
        means, kept = np.mean(windows, axis=1), windows.copy()
        work[0] = 10.0
        return means + np.sum(kept, axis=1) + np.mean(np.lib.stride_tricks.sliding_window_view(work, 2), axis=1)

    np.testing.assert_array_equal(tg.jit(fine, compile="never")(X), fine(X))
