"""Bad input as a person meets it: the kind of error, what it says, and the line it is about."""

import ast
import dataclasses
import inspect
import re
import stat
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.signal

import tracegrad as tg
from tracegrad.core.op import MISSING
from tracegrad.errors import CacheWarning, ConditionError, DifferentiationError, DtypeError, EscapeError, ShapeError, TraceError
from tracegrad.ops import maps

X = np.linspace(0.1, 1.0, 4)
STORE = np.zeros(4)


def complaint(function, *arguments, marked=None):
    """The error of a call, after checking that it names the line marked ``# here`` and shows no internals."""
    with pytest.raises(tg.TracegradError) as caught:
        function(*arguments)
    error = caught.value
    assert error.fix, "the error says nothing about what to write instead"
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
    shown = "".join(traceback.format_exception_only(error))
    assert "numba" not in shown.lower().replace("tests", "")
    if marked is not None:
        lines, first = inspect.getsourcelines(marked)
        (place,) = [first + k for k, line in enumerate(lines) if "# here" in line]
        assert error.where is not None
        assert Path(error.where.file).name == Path(__file__).name
        assert error.where.line == place
        assert f"{Path(__file__).name}:{place}" in str(error)
    return error


def test_shapes_that_do_not_broadcast():
    def loss(a, b):
        c = a * 2.0
        return np.sum(c + b)  # here

    error = complaint(tg.grad_compile(loss).grad, np.ones(3), np.ones(4), marked=loss)
    assert isinstance(error, ShapeError)
    assert isinstance(error, ValueError)
    assert "(3,)" in str(error)
    assert "(4,)" in str(error)


def test_matrices_that_do_not_fit():
    def loss(a, b):
        return np.sum(a @ b)  # here

    error = complaint(tg.grad_compile(loss), np.ones((2, 3)), np.ones((4, 2)), marked=loss)
    assert isinstance(error, ShapeError)
    assert "(2, 3)" in str(error)


def test_the_line_in_a_helper():
    def helper(a, b):
        return a - b  # here

    def loss(a, b):
        return np.sum(helper(a, b))

    complaint(tg.grad_compile(loss).grad, np.ones(3), np.ones(4), marked=helper)


def test_wrong_channels():
    def loss(x, w):
        return np.sum(tg.functional.conv2d(x, w))  # here

    error = complaint(tg.grad_compile(loss).grad, np.ones((1, 3, 5, 5)), np.ones((4, 2, 3, 3)), marked=loss)
    assert isinstance(error, ShapeError)
    assert "3 channels" in str(error)
    assert "groups" in str(error)


@pytest.mark.parametrize("way", ["grad", "value_and_grad"])
def test_a_loss_that_is_no_scalar(way):
    def loss(x):
        y = np.cos(x)
        return np.sin(y)  # here

    compiled = tg.grad_compile(loss)
    error = complaint(getattr(compiled, way), X, marked=loss)
    assert isinstance(error, DifferentiationError)
    assert "(4,)" in str(error)
    assert "np.sum" in error.fix
    np.testing.assert_allclose(compiled(X), np.sin(np.cos(X)))  # the value alone may have any shape


def test_a_loss_of_several_values():
    error = complaint(tg.grad_compile(lambda x: (np.sum(x), x)).grad, X)
    assert isinstance(error, DifferentiationError)
    assert "2 values" in str(error)


def test_an_integer_loss():
    error = complaint(tg.grad_compile(lambda x: np.argmax(x)).grad, X)
    assert isinstance(error, DifferentiationError)
    assert "int64" in str(error)


@pytest.mark.parametrize(
    ("params", "path"),
    [
        (np.arange(3), "params"),
        ({"a": [np.ones(3), np.arange(3)]}, "params['a'][1]"),
        ({"a": np.array([True])}, "params['a']"),
        (3, "params"),
        ({"mode": "fast"}, "params['mode']"),
    ],
)
def test_a_leaf_without_gradient_is_named(params, path):
    def loss(params):
        return np.sum(np.ones(3))

    error = complaint(tg.grad_compile(loss).grad, params)
    assert isinstance(error, DifferentiationError)
    assert f"{path} is" in str(error)


def call_here(function, *arguments):
    return function(*arguments)  # here


def test_errors_about_the_call_point_at_it():
    error = complaint(call_here, tg.grad_compile(argnums=3)(lambda x: np.sum(x)).grad, X, marked=call_here)
    assert "argnums=3" in str(error)
    complaint(call_here, tg.grad_compile(lambda n: n * 2.0).grad, 3, marked=call_here)


def test_float_of_a_traced_value():
    def loss(x):
        return float(x[0]) * 2.0  # here

    error = complaint(tg.grad_compile(loss).grad, X, marked=loss)
    assert isinstance(error, EscapeError)
    assert "float(x)" in str(error)


def test_an_escape_that_the_code_swallows():
    def loss(x):
        try:
            return float(x[0])  # here
        except Exception:  # noqa: BLE001
            return np.sum(x)

    assert isinstance(complaint(tg.grad_compile(loss).grad, X, marked=loss), EscapeError)


def test_foreign_code_of_a_package():
    def loss(x):
        return np.sum(scipy.signal.medfilt(x, 3))  # here

    error = complaint(tg.grad_compile(loss).grad, X, marked=loss)
    assert isinstance(error, TraceError)
    assert "medfilt" in str(error)


def test_a_numpy_function_without_meaning():
    def loss(x):
        return np.sum(np.spacing(x))  # here

    error = complaint(tg.grad_compile(loss).grad, X, marked=loss)
    assert isinstance(error, TraceError)
    assert "np.spacing" in str(error)


def test_foreign_code_that_asks_for_the_array():
    def loss(x):
        return np.sum(memoryview(x.__array__()))  # here

    assert isinstance(complaint(tg.grad_compile(loss).grad, X, marked=loss), EscapeError)


def test_a_like_name_of_another_module_is_not_proposed():
    signm = pytest.importorskip("scipy.linalg").signm
    error = complaint(tg.grad_compile(lambda x: np.sum(signm(np.outer(x, x)))).grad, X)
    assert "np.sign" not in error.fix


def test_a_store_into_an_outside_array():
    def loss(x):
        STORE[:] = x  # here
        return np.sum(x)

    error = complaint(tg.grad_compile(loss).grad, X, marked=loss)
    assert isinstance(error, EscapeError)
    assert "STORE" in str(error)
    assert STORE.tolist() == [0.0] * 4


def test_a_store_into_an_argument():
    def loss(x):
        x[0] = 1.0  # here
        return np.sum(x)

    error = complaint(tg.grad_compile(loss).grad, X, marked=loss)
    assert isinstance(error, TraceError)
    assert "x is an argument" in str(error)


@pytest.mark.parametrize("form", ["if", "while", "and"])
def test_a_traced_condition(form):
    def branch(x):
        if x[0] > 0.0:  # here
            return np.sum(x)
        return -np.sum(x)

    def loop(x):
        while np.sum(x) < 100.0:  # here
            x = 2.0 * x
        return np.sum(x)

    def both(x):
        return np.sum(x) > 0.0 and np.sum(x)  # here

    loss = {"if": branch, "while": loop, "and": both}[form]
    error = complaint(tg.grad_compile(loss).grad, X, marked=loss)
    assert isinstance(error, ConditionError)
    assert "np.where" in error.fix


@pytest.mark.parametrize("result", ["text", object(), {"a": [1.0, "text"]}])
def test_a_result_that_is_no_array(result):
    def function(x):  # here
        return result

    error = complaint(tg.jit(function), X, marked=function)
    assert isinstance(error, TraceError)
    assert "the result of function" in str(error)


def test_a_loss_that_is_forgotten():
    def loss(x):
        np.sum(x)

    assert "returns" in str(complaint(tg.grad_compile(loss).grad, X))


def test_a_missing_rule():
    unfinished = dataclasses.replace(maps.sin, name="unfinished", partials=(MISSING,))

    def loss(x):
        return np.sum(unfinished(x))  # here

    compiled = tg.grad_compile(compile="never")(loss)
    assert compiled(X) == pytest.approx(np.sum(np.sin(X)))
    error = complaint(compiled.grad, X, marked=loss)
    assert isinstance(error, DifferentiationError)
    assert "unfinished has no derivative rule" in str(error)


@pytest.mark.parametrize("value", [X.astype(np.float16), np.array(["a"]), np.array([None])])
def test_dtypes_that_are_not_supported(value):
    error = complaint(tg.grad_compile(lambda data: np.sum(data)).grad, value)
    assert isinstance(error, DtypeError)
    assert "data" in str(error)


def test_positions_out_of_range_keep_numpys_error():
    with pytest.raises(IndexError, match="out of bounds"):
        tg.grad_compile(lambda x: np.sum(x[np.array([7])])).grad(X)
    with pytest.raises(IndexError, match=Path(__file__).name):
        tg.grad_compile(lambda x, i: np.sum(x[i])).grad(X, np.array([7]))


def test_errors_of_the_users_own_code_pass():
    def loss(x):
        return missing_name * x  # noqa: F821

    with pytest.raises(NameError, match="missing_name"):
        tg.grad_compile(loss)(X)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        tg.grad_compile(lambda x, y: np.sum(x))(X)


def test_a_failed_call_leaves_the_function_usable():
    compiled = tg.grad_compile(lambda a, b: np.sum(a * b))
    complaint(compiled.grad, np.ones(3), np.ones(4))
    assert compiled.grad(np.ones(3), np.full(3, 2.0)).tolist() == [2.0] * 3


def test_settings_that_do_not_exist():
    complaint(lambda: tg.jit(compile="later"))
    complaint(tg.jit(static_argnames="s")(lambda x, s: x), X, [1])


def test_an_unwritable_cache_folder(tmp_path):
    folder = tmp_path / "shut"
    folder.mkdir(mode=stat.S_IRWXU | stat.S_IWOTH)
    folder.chmod(stat.S_IRWXU | stat.S_IWOTH)  # others can write: as unusable to everyone, root included, as a read-only one
    with tg.config.override(cache_dir=folder), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        np.testing.assert_allclose(tg.grad_compile(lambda x: np.sum(x * x * 0.3125)).grad(X), 0.625 * X)
        np.testing.assert_allclose(tg.grad_compile(lambda x: np.sum(x * x * x + 7.5)).grad(X), 3 * X**2)
    told = [w for w in caught if issubclass(w.category, CacheWarning)]
    assert len(told) == 1
    assert str(folder) in str(told[0].message)
    assert not list(folder.iterdir())


# -- what the texts name ----------------------------------------------------------------------------------------------


def _texts(path):
    """The string literals of a file, docstrings left out."""
    tree = ast.parse(path.read_text("utf-8"))
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    comments = {
        id(statement.value)
        for owner in ast.walk(tree)
        if isinstance(owner, owners)
        for statement in owner.body
        if isinstance(statement, ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in comments:
            yield node.lineno, node.value


def test_texts_name_only_what_exists():
    root = Path(tg.__file__).parent
    named = 0
    for path in sorted(root.rglob("*.py")):
        for line, text in _texts(path):
            for name in re.findall(r"\btg((?:\.[A-Za-z_]\w*)+)", text):
                found = tg
                for part in name[1:].split("."):
                    assert hasattr(found, part), f"{path.name}:{line} names tg{name}, which does not exist"
                    found = getattr(found, part)
                named += 1
    assert named
