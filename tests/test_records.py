"""Kept traces: a later process neither traces nor compiles what is unchanged, and traces what is not.

Another process is played by the same text run again in a namespace of its own: all functions and objects are new, and
nothing is shared with those that made the trace but the folder.
"""

import dataclasses
import json
import re
import textwrap
import zlib

import numpy as np
import pytest

import tracegrad as tg
from tracegrad.records import decode, encode
from tracegrad.runtime.executable import Executable
from tracegrad.runtime.load import LoadedProgram
from tracegrad.trace.describe import Indescribable, describe_code

HEAD = """import math
import numpy as np
import tracegrad as tg
from dataclasses import dataclass
from typing import NamedTuple
"""
X = np.array([0.5, -1.0, 2.0])


@pytest.fixture(autouse=True)
def folder(tmp_path):
    with tg.config.override(cache_dir=tmp_path / "cache", keep_traces=True, verify=True):
        yield tmp_path / "cache"


def hashing_program(source, arguments, cache_dir, limit, row=0):
    """In place of a compiled program, one that fills its outputs with a number made of its code and all its inputs."""
    names = re.search(r"def run_HASH_\(([^)]*)\)", source)[1].split(", ")

    def entry(*given):
        hashed = zlib.crc32(source.encode())
        for name, value in zip(names, given, strict=True):
            if not name.startswith("out") and name != "arena":
                hashed = zlib.crc32(np.asarray(value).tobytes(), hashed)
        for name, value in zip(names, given, strict=True):
            if name.startswith("out"):
                value[...] = hashed % 1000 + np.arange(value.size).reshape(value.shape)
            elif name == "arena":
                value[:8] = 0

    return LoadedProgram(entry, "0" * 64, source, cache_dir / "p_0.py", True, 0.0)


@pytest.fixture
def uncompiled(monkeypatch):
    """Nothing is compiled: what counts is which program is called, and with what."""
    monkeypatch.setattr("tracegrad.pipeline.load_program", hashing_program)
    monkeypatch.setattr("tracegrad.records.load_program", hashing_program)


def ran(text, name="f", filename="<typed in>"):
    """A name of a program that is run in a namespace of its own."""
    space = {"__name__": "elsewhere"}
    exec(compile(HEAD + textwrap.dedent(text), filename, "exec"), space)
    return space[name]


def same(first, second):
    a, b = tg.core.tree.flatten(first)[0], tg.core.tree.flatten(second)[0]
    return len(a) == len(b) and all(np.asarray(p).tobytes() == np.asarray(q).tobytes() for p, q in zip(a, b, strict=True))


def warm_after(text, *args, then=None, want="value_and_grad", **kwargs):
    """Run a program twice, the second time perhaps another, and say whether the second traced."""
    first, second = ran(text), ran(then or text)
    call = (lambda f: getattr(f, want)(*args, **kwargs)) if want else (lambda f: f(*args, **kwargs))
    before = call(first)
    assert (first.stats.traces, first.stats.recalls) == (1, 0)
    after = call(second)
    assert same(call(second), after)
    assert second.stats.traces + second.stats.recalls == 1
    if second.stats.recalls:
        assert second.stats.compiles == 0
        assert then is not None or same(before, after)
    return bool(second.stats.recalls)


KEPT = {
    "a function": "f = tg.grad_compile(lambda x: np.sum(x * x))",
    "a decorated function": """
        @tg.grad_compile
        def f(x):
            return np.sum(np.tanh(x) ** 2)
        """,
    "a global number": "a = 2.5\nf = tg.grad_compile(lambda x: np.sum(a * x))",
    "a helper": """
        def helper(x):
            return x * x
        f = tg.grad_compile(lambda x: np.sum(helper(x)))
        """,
    "a closure": """
        def made(power):
            return tg.grad_compile(lambda x: np.sum(x ** power))
        f = made(3)
        """,
    "an array from outside": "w = np.arange(3.0)\nf = tg.grad_compile(lambda x: w @ x)",
    "an array that is structure": "k = np.array([0, 2])\nf = tg.grad_compile(lambda x: sum(x[int(i)] for i in k))",
    "a container": "p = {'a': 2.0, 'w': [np.ones(3), 3]}\nf = tg.grad_compile(lambda x: np.sum(p['a'] * p['w'][0] * x))",
    "a namespace": (
        "from types import SimpleNamespace\ns = SimpleNamespace(a=2.0, w=np.ones(3))\n"
        "f = tg.grad_compile(lambda x: np.sum(s.a * s.w * x))"
    ),
    "an object with methods": """
        class Model:
            scale = 2.0
            def __init__(self):
                self.w = np.arange(3.0)
            def forward(self, x):
                return self.scale * self.w @ x
        model = Model()
        f = tg.grad_compile(lambda x: model.forward(x))
        """,
    "a compiled function inside": """
        inner = tg.grad_compile(lambda x: np.sum(x ** 3))
        f = tg.grad_compile(lambda x: np.sum(inner.grad(x) ** 2) + inner(x))
        """,
    "defaults": """
        def g(x, a=2.0, *, b=3.0):
            return np.sum(a * x + b)
        f = tg.grad_compile(g)
        """,
    "a partial": """
        from functools import partial
        f = tg.grad_compile(partial(lambda a, x: np.sum(a * x), 3.0), argnums=0)
        """,
    "mathematics and functions of ours": "f = tg.grad_compile(lambda x: math.exp(0.5) * np.sum(tg.functional.gelu(x)))",
    "an import inside": """
        def g(x):
            import numpy as num
            return num.sum(num.sin(x))
        f = tg.grad_compile(g)
        """,
    "a function inside": """
        def g(x):
            def inner(y):
                return y * np.sum(x)
            return np.sum(inner(x))
        f = tg.grad_compile(g)
        """,
    "recursion": """
        def power(x, n):
            return x if n == 1 else x * power(x, n - 1)
        f = tg.grad_compile(lambda x: np.sum(power(x, 3)))
        """,
    "a position that is checked": "f = tg.grad_compile(lambda x: x[np.argmax(x)] ** 2)",
}


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_what_is_unchanged_is_not_traced_again(text):
    assert warm_after(text, X)


OBJECT = """class M:
    def go(self, x):
        return x * self.a
m = M()
f = tg.grad_compile(lambda x: np.sum(m.go(x)))
"""
CHANGED = {
    "the function": ("f = tg.grad_compile(lambda x: np.sum(x * x))", "x * x", "x * x + x"),
    "a constant": ("f = tg.grad_compile(lambda x: np.sum(x * 2.5))", "2.5", "-2.5"),
    "the sign of zero": ("f = tg.grad_compile(lambda x: np.sum(np.copysign(x, 0.0)))", "0.0", "-0.0"),
    "a helper": ("def h(x):\n    return x * x\nf = tg.grad_compile(lambda x: np.sum(h(x)))", "x * x", "x * x * x"),
    "a helper's helper": (
        "def g(x):\n    return x * x\ndef h(x):\n    return g(x)\nf = tg.grad_compile(lambda x: np.sum(h(x)))",
        "x * x",
        "x * x * x",
    ),
    "a global": ("a = 2.0\nf = tg.grad_compile(lambda x: np.sum(a * x))", "2.0", "3.0"),
    "a global's type": ("a = 2\nf = tg.grad_compile(lambda x: np.sum(a * x))", "a = 2", "a = 2.0"),
    "a closure's number": (
        "def made(n):\n    return tg.grad_compile(lambda x: np.sum(x ** n))\nf = made(2)",
        "made(2)",
        "made(3)",
    ),
    "a default": ("def g(x, a=2.0):\n    return np.sum(a * x)\nf = tg.grad_compile(g)", "2.0", "4.0"),
    "a method": (
        "class M:\n    def go(self, x):\n        return x * x\nm = M()\nf = tg.grad_compile(lambda x: np.sum(m.go(x)))",
        "x * x",
        "x * x * x",
    ),
    "an attribute": (
        OBJECT + "m.a = 2.0\n",
        "2.0",
        "3.0",
    ),
    "a class's number": (
        OBJECT.replace("M:", "M:\n    a = 2.0"),
        "2.0",
        "3.0",
    ),
    "an entry": ("p = {'a': [2.0]}\nf = tg.grad_compile(lambda x: np.sum(p['a'][0] * x))", "2.0", "3.0"),
    "a key": ("p = {'a': 2.0, 'b': 3.0}\nf = tg.grad_compile(lambda x: np.sum(list(p.values())[0] * x))", "'b'", "'c'"),
    "an array's elements that are structure": (
        "k = np.array([0, 2])\nf = tg.grad_compile(lambda x: sum(x[int(i)] for i in k))",
        "[0, 2]",
        "[0, 1]",
    ),
    "an array's dtype": ("w = np.ones(3)\nf = tg.grad_compile(lambda x: np.sum(w * x))", "ones(3)", "ones(3, np.float32)"),
    "two names of one array": (
        "a = np.ones(3)\nb = a\nf = tg.grad_compile(lambda x: np.sum(a * x + 2 * b))",
        "b = a",
        "b = 2 * a",
    ),
    "the compiled function inside": (
        "g = tg.grad_compile(lambda x: np.sum(x ** 3))\nf = tg.grad_compile(lambda x: np.sum(g.grad(x)))",
        "** 3",
        "** 4",
    ),
    "its options": (
        (
            "g = tg.grad_compile(lambda x, y: np.sum(x) * np.sum(y), argnums=0)\n"
            "f = tg.grad_compile(lambda x: np.sum(g.grad(x, x[:2])))"
        ),
        "argnums=0",
        "argnums=1",
    ),
    "a helper's global, behind a compiled function": (
        (
            "a = 2.0\ndef h(x):\n    return a * x\ng = tg.grad_compile(lambda x: np.sum(h(x) ** 3))\n"
            "f = tg.grad_compile(lambda x: np.sum(g.grad(x)))"
        ),
        "a = 2.0",
        "a = 3.0",
    ),
    "the function that a name stands for": (
        "h = np.sin\nf = tg.grad_compile(lambda x: np.sum(h(x)))",
        "h = np.sin",
        "h = np.cos",
    ),
    "which arguments": ("f = tg.grad_compile(lambda x, y=2.0: np.sum(x) * y)", "lambda x, y=2.0", "lambda x, y=4.0"),
}


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(("text", "old", "new"), CHANGED.values(), ids=CHANGED)
def test_what_has_changed_is_traced_again(text, old, new):
    assert old in text
    assert not warm_after(text, X, then=text.replace(old, new, 1))


UNTOLD = {
    "a file": "def g(x):\n    open('/dev/null').close()\n    return np.sum(x)\nf = tg.grad_compile(g)",
    "a file by NumPy": "def g(x):\n    np.fromfile('/dev/null')\n    return np.sum(x)\nf = tg.grad_compile(g)",
    "a clock": "import time\ndef g(x):\n    time.sleep(0)\n    return np.sum(x)\nf = tg.grad_compile(g)",
    "the environment": "import os\ndef g(x):\n    return np.sum(x) * len(os.sep)\nf = tg.grad_compile(g)",
    "an import of what may change": "def g(x):\n    import os\n    return np.sum(x) + 0 * len(os.sep)\nf = tg.grad_compile(g)",
    "a counter": "n = [0]\ndef g(x):\n    n[0] += 1\n    return np.sum(x)\nf = tg.grad_compile(g)",
    "a method that is not followed": (
        "class M:\n    def go(self, x):\n        return x * 2\nf = tg.grad_compile(lambda x: np.sum(M().go(x)))"
    ),
}


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("text", UNTOLD.values(), ids=UNTOLD)
def test_what_cannot_be_recognised_is_traced_in_every_process(text, folder):
    assert not warm_after(text, X)
    assert not list(folder.glob("t_*.json"))


@pytest.mark.usefixtures("uncompiled")
def test_value_gradient_and_plain_functions_are_kept_apart():
    text = "f = tg.grad_compile(lambda x: np.sum(x ** 2))"
    first = ran(text)
    made = [first(X), first.grad(X), first.value_and_grad(X)]
    second = ran(text)
    assert same([second(X), second.grad(X), second.value_and_grad(X)], made)
    assert (second.stats.traces, second.stats.recalls) == (0, 3)
    assert warm_after("f = tg.jit(lambda x: {'b': x, 'a': (np.sum(x), [2 * x])})", X, want=None)


def test_signatures_are_kept_apart():
    text = "f = tg.jit(lambda x: x * 2)"
    f = ran(text)
    arguments = [X, X.astype(np.float32), X[:2], 2.0, np.float32(2), X[None]]
    results = [f(a) for a in arguments]
    again = ran(text)
    for a, expected in zip(arguments, results, strict=True):
        found = again(a)
        assert type(found) is type(expected)
        assert np.asarray(found).dtype == np.asarray(expected).dtype
        np.testing.assert_array_equal(found, expected)
    assert again.stats.traces == 0


def test_structures_of_arguments_and_results_come_back():
    text = """
        class Pair(NamedTuple):
            w: object
            b: object
        @dataclass
        class Layer:
            pair: Pair
            name: str = "dense"
        def g(layer, x):
            return {"z": Pair(layer.pair.w * x, layer.pair.b), "a": None, 1.5: (layer.pair, [])}
        f = tg.jit(g, static_argnames=())
        layer = Layer(Pair(np.ones(3), 2.0), 3.0)
        """
    first, second = ran(text, "f"), ran(text, "f")
    spaces = [function.py_func.__globals__ for function in (first, second)]
    before = first(spaces[0]["layer"], X)
    after = second(spaces[1]["layer"], X)
    assert second.stats.traces == 0
    assert list(before) == list(after) == ["z", "a", 1.5]
    assert type(after["z"]) is spaces[1]["Pair"]
    np.testing.assert_array_equal(after["z"].w, before["z"].w)


@pytest.mark.usefixtures("uncompiled")
def test_numbers_that_are_structure_are_told_apart():
    text = "f = tg.jit(lambda x, n: np.sum(x[:n]) + n)"
    first = ran(text)
    made = [first(X, n) for n in (1, 2, 3)]
    second = ran(text)
    assert [second(X, n) for n in (1, 3, 2)] == [made[0], made[2], made[1]]
    assert len(set(made)) == 3
    assert (second.stats.recalls, second.stats.traces) == (3, 0)
    second(X, 0)
    assert second.stats.traces == 1


@pytest.mark.usefixtures("uncompiled")
def test_static_arguments_are_told_apart():
    text = "f = tg.jit(lambda x, how, g: np.sum(g(x)) if how == 'sum' else np.max(g(x)), static_argnames=('how', 'g'))"
    helpers = "f = lambda x: np.sin(x)", "f = lambda x: np.cos(x)"
    first, second = ran(text), ran(text)
    made = [first(X, how, ran(g)) for how in ("sum", "max") for g in helpers]
    assert [second(X, how, ran(g)) for how in ("sum", "max") for g in helpers] == made
    assert len(set(made)) == 4
    assert second.stats.traces == 0


def test_a_kept_trace_is_dropped_when_a_value_changes_in_the_process():
    text = "a = 2.0\nw = np.ones(3)\np = {'k': 1.0}\nf = tg.grad_compile(lambda x: np.sum(a * w * x) * p['k'])"
    ran(text).grad(X)
    second = ran(text)
    space = second.py_func.__globals__
    np.testing.assert_array_equal(second.grad(X), [2.0, 2.0, 2.0])
    assert second.stats.traces == 0
    space["w"][:] = 5.0
    np.testing.assert_array_equal(second.grad(X), [10.0, 10.0, 10.0])
    assert second.stats.traces == 0
    space["a"] = 3.0
    np.testing.assert_array_equal(second.grad(X), [15.0, 15.0, 15.0])
    space["p"]["k"] = 2.0
    np.testing.assert_array_equal(second.grad(X), [30.0, 30.0, 30.0])
    assert second.stats.traces == 2
    third = ran(text.replace("a = 2.0", "a = 3.0"))
    np.testing.assert_array_equal(third.grad(X), [3.0, 3.0, 3.0])
    assert third.stats.traces == 0  # traced above: a variant of the same file


def test_what_needs_the_trace_makes_it():
    text = "f = tg.grad_compile(lambda x: np.sum(x ** 2))"
    ran(text)(X)
    ran(text).value_and_grad(X)
    f = ran(text)
    assert f(X) == 5.25
    assert f.stats.traces == 0
    assert "input" in str(f.graph(X))
    assert f.stats.traces == 1
    x = tg.tensor(X, requires_grad=True)
    f(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * X)


def test_lines_in_errors_are_those_of_now():
    text = "\n\ndef g(x, k):\n    y = x * 2\n    return np.sum(y[k])\nf = tg.jit(g)"
    ran(text, filename="one.py")(X, np.array([0]))
    moved = ran("\n\n\n" + text, filename="two.py")
    with pytest.raises(IndexError, match=r"two\.py:13 in g"):
        moved(X, np.array([7]))
    assert moved.stats.traces == 0


def test_files_that_are_damaged_count_as_none(folder):
    text = "f = tg.grad_compile(lambda x: np.sum(x ** 2))"
    ran(text).grad(X)
    [kept] = folder.glob("t_*.json")
    whole = kept.read_bytes()
    rng = np.random.default_rng(0)
    for trial in range(40):
        data = bytearray(whole)
        if trial % 4 == 0:
            data = data[: int(rng.integers(len(data)))]
        else:
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        kept.write_bytes(data)
        f = ran(text)
        np.testing.assert_array_equal(f.grad(X), 2 * X)
        assert f.stats.traces == 1
        assert kept.read_bytes() == whole


@pytest.mark.parametrize(
    "text", ["[1]", "{}", "[{}]", '[{"static": [], "reads": {}}]', "[[]]", "null", '[{"static": [[9, 1]]}]']
)
def test_files_of_another_make_count_as_none(folder, text):
    source = "f = tg.grad_compile(lambda x: np.sum(x ** 2))"
    ran(source).grad(X)
    [kept] = folder.glob("t_*.json")
    tg.runtime.kernelcache.CacheFolder(folder).put_trace(kept.name.removesuffix(".json"), text)
    f = ran(source)
    np.testing.assert_array_equal(f.grad(X), 2 * X)
    assert f.stats.traces == 1


def test_nothing_is_kept_when_told_so(folder):
    with tg.config.override(keep_traces=False):
        assert not warm_after("f = tg.grad_compile(lambda x: np.sum(x ** 2))", X)
    assert not list(folder.glob("t_*.json"))


def test_a_folder_that_cannot_be_used_is_survived(folder):
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.warns(tg.errors.CacheWarning, match="other users can write"):
        assert ran("f = tg.grad_compile(lambda x: np.sum(x ** 2))")(X) == 5.25
    assert not list(folder.glob("*"))


def test_everything_of_an_executable_can_be_kept():
    # a field of another kind would silently end the keeping of all traces
    f = ran("f = tg.grad_compile(lambda x: np.sum(x ** 2))")
    made = []
    original = Executable.bind

    def spy(self):
        made.append(self)
        return original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Executable, "bind", spy)
        f.grad(X)
    for field in dataclasses.fields(Executable):
        if field.name not in ("entry", "pool"):
            value = getattr(made[0], field.name)
            assert repr(decode(json.loads(json.dumps(encode(value))))) == repr(value)
    with pytest.raises(Indescribable):
        encode(object())


def test_code_is_the_same_wherever_it_stands():
    text = "def f(x):\n    return [y in {'a', 'b', 1.0} for y in x]\n"
    one, two = ran(text, filename="a.py"), ran("\n\n" + text, filename="b.py")
    assert describe_code(one.__code__) == describe_code(two.__code__)
    assert describe_code(one.__code__) != describe_code(ran(text.replace("1.0", "1")).__code__)


TRANSFORMS = """
    def f(x):
        return np.sum(np.sin(x) * W)

    W = np.array([1.0, 2.0, 3.0])
    made = tg.jit(tg.{}(f))
"""


@pytest.mark.parametrize("name", ["grad", "value_and_grad", "jacrev", "elementwise_grad"])
def test_transforms_are_kept_each_for_itself(uncompiled, name):
    first = ran(TRANSFORMS.format(name), "made")
    first(X)
    again = ran(TRANSFORMS.format(name), "made")
    again(X)
    assert (first.stats.recalls, again.stats.recalls, again.stats.traces) == (0, 1, 0)
    for other in ("grad", "value_and_grad", "jacfwd", "hessian"):
        if other != name:
            changed = ran(TRANSFORMS.format(other), "made")
            changed(X)
            assert changed.stats.recalls == 0
    edited = ran(TRANSFORMS.format(name).replace("sin", "cos"), "made")
    edited(X)
    assert edited.stats.recalls == 0


def test_draws_are_kept():
    text = """
        @tg.grad_compile
        def f(x, worlds):
            z = worlds["a"].normal(x, 2.0, size=(4, 3))
            return np.sum(z * worlds["b"].random()) + worlds["a"].standard_normal() * worlds["b"].integers(3)
        """
    plain = ran(text).py_func
    ours, theirs = [{name: np.random.default_rng(k) for k, name in enumerate("ab")} for _ in range(2)]
    functions = [ran(text), ran(text)]
    for function in functions:
        for _ in range(3):
            np.testing.assert_allclose(function(X, ours), plain(X, theirs), rtol=1e-13)
            assert all(ours[k].bit_generator.state == theirs[k].bit_generator.state for k in "ab")
    assert [f.stats.recalls for f in functions] == [0, 1]
    assert functions[1].stats.traces == 0


def test_a_file_names_no_methods_but_draws(folder):
    text = "f = tg.jit(lambda x, rng: x + rng.normal(size=3))"
    ran(text)(X, np.random.default_rng(0))
    (file,) = folder.rglob("t_*.json")
    file.write_text(file.read_text().replace('"standard_normal"', '"__init__"'))
    other = ran(text)
    np.testing.assert_allclose(other(X, np.random.default_rng(0)), X + np.random.default_rng(0).normal(size=3))
    assert other.stats.traces == 1


def test_prints_are_kept(capsys):
    text = """
        def g(x, scale):
            y = x * scale["a"]
            tg.debug.print("y {} of {kind} {a:.1f}", [y], kind="three", a=scale["a"])
            tg.debug.print("{}", tg.vmap(lambda e: e * e)(y))
            return np.sum(y)
        f = tg.grad_compile(g)
        """
    lines = "y [array([1.])] of three 2.0\n[1.]\n"
    for want in (None, "grad", "value_and_grad"):
        recalled = []
        for function in (ran(text), ran(text)):
            call = getattr(function, want) if want else function
            for _ in range(3):
                call(np.array([0.5]), {"a": 2.0})
                assert capsys.readouterr().out == lines
            recalled.append((function.stats.traces, function.stats.recalls))
        assert recalled == [(1, 0), (0, 1)]


RULE = """
from functools import partial
from tracegrad.autodiff.inside import Transform
def scaled(recorder, parts, args, kwargs, *, k):
    return parts["function"](*args) * k
def rule_of(k):
    return lambda recorder, parts, args, kwargs: parts["function"](*args) * k
"""
RULES = {"a closure": "rule_of(2.0)", "a partial": "partial(scaled, k=2.0)"}


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("name", RULES)
def test_two_rules_of_one_name_are_told_apart(name):
    text = RULE + f"f = tg.jit(Transform({{'function': lambda x: np.sum(x)}}, {RULES[name]}, 'scaled'))"
    found = [ran(each)(X) for each in (text, text.replace("2.0", "3.0"), text)]
    assert found[0] == found[2] != found[1]


RATE = """
START = 0.1
def rate(step):
    return START * np.where(step > 2, 0.5, 1.0)
RULE = tg.optim.adam(rate)
@tg.jit
def f(x):
    return RULE.update(2.0 * x, RULE.init(x), x)[0]
"""


def test_functions_that_an_optimiser_holds_are_recognised_with_what_they_name():
    """They do not run as twins, so that what they read is part of how they are described."""
    texts = (RATE, RATE, RATE.replace("0.1", "0.3"), RATE.replace("0.5", "0.25"))
    found = [ran(text) for text in texts]
    values = [f(X) for f in found]
    assert [f.stats.recalls for f in found] == [0, 1, 0, 0]
    np.testing.assert_array_equal(values[0], values[1])
    np.testing.assert_allclose(X - values[2], 3.0 * (X - values[0]), rtol=1e-12)
