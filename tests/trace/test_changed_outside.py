"""What a traced function changes outside, and what it asks of the process: NumPy's numbers at every call, or an error."""

import collections
import datetime as dt
import io
import logging
import os
import queue
import subprocess
import sys
import types

import numpy as np
import pytest

import tracegrad as tg
from tracegrad.errors import TracegradError

CALLS = (np.array([0.5, 1.5, 2.0]), np.array([3.0, 0.25, 1.0]), np.array([1.0, 2.0, 4.0]))
COUNT = 0


def outcomes(make, wrap):
    """The results of three calls of a fresh function, and the state it leaves; errors as their types."""
    function, state = make()
    called = wrap(function)
    return [called(x.copy()) for x in CALLS], state()


def global_counter():
    global COUNT
    COUNT = 0

    def f(x):
        global COUNT
        COUNT += 1
        return x * COUNT

    return f, lambda: COUNT


def variable():
    n = 0

    def f(x):
        nonlocal n
        n += 1
        return x * n

    return f, lambda: n


class Model:
    def __init__(self):
        self.n = 0
        self.seen = []

    def count(self, x):
        self.n += 1
        return x * self.n

    def note(self, x):
        self.seen.append(1)
        return x * len(self.seen)

    @property
    def twice(self):
        return self.n * 2

    def __call__(self, x):
        self.n = self.n + 1
        return x * self.twice


def of_model(name):
    def make():
        model = Model()
        return getattr(model, name), lambda: (model.n, model.seen)

    return make


def alternating():
    up = True

    def f(x):
        nonlocal up
        up = not up
        return x * 2 if up else x

    return f, lambda: up


def in_a_list():
    seen = []
    return lambda x: seen.append(1.0) or x * len(seen), lambda: seen


def taken_from_a_list():
    left = [3.0, 4.0, 5.0, 6.0, 7.0]
    return lambda x: x * left.pop(), lambda: left


def in_a_nested_dict():
    held = {"a": {"n": 0}}

    def f(x):
        held["a"]["n"] += 1
        return x * held["a"]["n"]

    return f, lambda: held


def in_a_default(make=list):
    def f(x, seen=make()):  # noqa: B008
        seen.append(1.0)
        return x * len(seen)

    return f, lambda: f.__defaults__


def on_the_function():
    def f(x):
        f.n += 1
        return x * f.n

    f.n = 0
    return f, lambda: f.n


def in_a_module():
    module = types.ModuleType("held")
    module.n = 0

    def f(x):
        module.n += 1
        return x * module.n

    return f, lambda: module.n


COUNTERS = {
    "a global": global_counter,
    "a variable": variable,
    "an attribute": of_model("count"),
    "an attribute by a property": of_model("__call__"),
    "a list of an object": of_model("note"),
    "a flag": alternating,
    "a list": in_a_list,
    "a list that shrinks": taken_from_a_list,
    "a dict in a dict": in_a_nested_dict,
    "a default": in_a_default,
    "an attribute of a function": on_the_function,
    "a module": in_a_module,
}
"""Results that depend on what each call changes."""


@pytest.mark.parametrize("name", COUNTERS)
def test_a_counter_in_the_result_is_refused_and_nothing_is_changed(name):
    function, state = COUNTERS[name]()
    before = repr(state())
    compiled = tg.jit(function, compile="never")
    for _ in range(2):
        with pytest.raises(TracegradError, match=r"each call|set it outside") as caught:
            compiled(CALLS[0])
        assert caught.value.where.file == __file__
        assert caught.value.fix
        assert repr(state()) == before


def with_a_class():
    class Local:
        n = 0

    def f(x):
        Local.n += 1
        return x * Local.n

    return f, lambda: Local.n


def with_a_set():
    seen = set()
    return lambda x: seen.add(len(seen)) or x * len(seen), lambda: seen


def with_a_deque():
    seen = collections.deque()
    return lambda x: seen.append(1) or x * len(seen), lambda: list(seen)


def with_a_queue():
    waiting = queue.Queue()
    for k in range(5):
        waiting.put(k)
    return lambda x: x * waiting.get(), waiting.qsize


def with_the_environment():
    os.environ["SILENT_COUNT"] = "0"

    def f(x):
        os.environ["SILENT_COUNT"] = str(int(os.environ["SILENT_COUNT"]) + 1)
        return x * float(os.environ["SILENT_COUNT"])

    return f, lambda: os.environ["SILENT_COUNT"]


def with_a_cache():
    known = {}

    def f(x):
        if "w" not in known:
            known["w"] = 2.0
            return x * 5.0
        return x * known["w"]

    return f, lambda: known


def with_a_first_call():
    first = True

    def f(x):
        nonlocal first
        if first:
            first = False
            return x * 2.0
        return x * 3.0

    return f, lambda: first


EVERY_CALL = {
    "a class": with_a_class,
    "a set": with_a_set,
    "a deque": with_a_deque,
    "a queue": with_a_queue,
    "the environment": with_the_environment,
    "a cache": with_a_cache,
    "a first call": with_a_first_call,
}
"""What is traced again as often as it changes."""


@pytest.mark.parametrize("name", EVERY_CALL)
def test_what_changes_by_itself_is_traced_again(name):
    expected, state = outcomes(EVERY_CALL[name], lambda f: f)
    found, left = outcomes(EVERY_CALL[name], lambda f: tg.jit(f, compile="never"))
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert left == state


def test_a_cache_is_filled_once_and_the_program_is_kept():
    function, _ = with_a_cache()
    compiled = tg.jit(function)
    np.testing.assert_allclose([compiled(x) for x in CALLS], [CALLS[0] * 5, CALLS[1] * 2, CALLS[2] * 2], rtol=1e-14)
    assert compiled.stats.traces == 2
    slope = tg.grad_compile(lambda x: np.sum(function(x)))
    np.testing.assert_array_equal(slope.grad(CALLS[0]), np.full(3, 2.0))


def test_what_does_not_matter_to_the_result_happens_once_for_each_trace():
    calls, model = [], Model()

    @tg.jit(compile="never")
    def f(x):
        calls.append(x.shape)
        model.n += 1
        return x * 2

    for x in (*CALLS, np.ones(2)):
        np.testing.assert_array_equal(f(x), x * 2)
    assert calls == [(3,), (2,)]
    assert model.n == 2


# -- the process, its files and clocks ---------------------------------------------------------------------------------


def with_a_file(read):
    def make(folder):
        path = folder / "w.txt"
        path.write_text("2.0")
        name = str(path)
        return lambda x: x * read(name), lambda: path.write_text("37.0")

    return make


def with_a_directory(folder):
    os.chdir(folder)
    (folder / "longer").mkdir()
    return lambda x: x * len(os.getcwd()), lambda: os.chdir(folder / "longer")


def with_a_path_that_goes(folder):
    path = folder / "there"
    path.write_text("")
    name = str(path)
    return lambda x: x * (2.0 if os.path.exists(name) else 3.0), path.unlink


def with_a_module_of_a_package(folder):
    del folder
    logging.silent = 2.0
    return lambda x: x * logging.silent, lambda: setattr(logging, "silent", 3.0)


def with_numpy_itself(folder):
    del folder
    np.silent = 2.0
    return lambda x: x * np.silent, lambda: setattr(np, "silent", 3.0)


def with_arguments_of_the_command(folder):
    del folder
    return lambda x: x * len(sys.argv), lambda: sys.argv.append("more")


def with_errors_of_numpy(folder):
    del folder
    np.seterr(divide="warn")
    return lambda x: x * len(np.geterr()["divide"]), lambda: np.seterr(divide="ignore")


def with_a_level(folder):
    del folder
    logger = logging.getLogger("tests.silent")
    logger.setLevel(10)
    return lambda x: x * logger.level, lambda: logger.setLevel(20)


def with_an_import_inside(folder):
    del folder
    logging.silent = 2.0

    def f(x):
        import logging as inside

        return x * inside.silent

    return f, lambda: setattr(logging, "silent", 3.0)


def by_open(name):
    with open(name) as file:
        return float(file.read())


def by_io(name):
    with io.open(name) as file:  # noqa: UP020
        return float(file.readline())


ASKED = {
    "open": with_a_file(by_open),
    "io.open": with_a_file(by_io),
    "np.loadtxt": with_a_file(lambda name: np.loadtxt(name)),
    "np.genfromtxt": with_a_file(lambda name: np.genfromtxt(name)),
    "np.fromfile": with_a_file(lambda name: np.fromfile(name, sep=" ")),
    "the directory": with_a_directory,
    "whether a file is there": with_a_path_that_goes,
    "a module": with_a_module_of_a_package,
    "a module that is imported inside": with_an_import_inside,
    "numpy": with_numpy_itself,
    "sys.argv": with_arguments_of_the_command,
    "np.geterr": with_errors_of_numpy,
    "a logger's level": with_a_level,
}


@pytest.fixture
def restored(tmp_path):
    there, arguments, errors = os.getcwd(), list(sys.argv), np.geterr()
    yield tmp_path
    os.chdir(there)
    sys.argv[:] = arguments
    np.seterr(**errors)
    for module in (np, logging):
        vars(module).pop("silent", None)


@pytest.mark.parametrize("name", ASKED)
def test_what_the_process_tells_is_asked_for_again(name, restored):
    function, change = ASKED[name](restored)
    compiled = tg.jit(function, compile="never")
    for x in CALLS[:2]:
        np.testing.assert_array_equal(compiled(x), function(x))
    assert compiled.stats.traces == 1
    before = np.asarray(function(CALLS[0]))
    change()
    assert not np.array_equal(before, function(CALLS[0]))
    for x in CALLS:
        np.testing.assert_array_equal(compiled(x), function(x))


OPEN = io.StringIO("1.0 2.0")


def raising(x):
    with np.errstate(divide="raise"):
        return 1 / x


def setting(x):
    logging.silent = 3.0
    return x


REFUSED = {
    "datetime.now": lambda x: x * dt.datetime.now().microsecond,
    "datetime.utcnow": lambda x: x * dt.datetime.utcnow().microsecond,
    "date.today": lambda x: x * dt.date.today().day,
    "np.datetime64": lambda x: x * np.datetime64("now").astype(int),
    "os.times": lambda x: x * os.times()[0],
    "input": lambda x: x * float(input()),
    "a file that is open": lambda x: x * float(OPEN.read()),
    "lines of a file that is open": lambda x: x * sum(float(line) for line in OPEN),
    "subprocess": lambda x: x * len(subprocess.check_output(["true"])),
    "os.popen": lambda x: x * len(os.popen("true").read()),
    "errstate": raising,
    "seterr": lambda x: np.seterr(over="raise") and x,
    "a module's attribute": setting,
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_asked_for_again_is_refused(name):
    compiled = tg.jit(REFUSED[name], compile="never")
    with pytest.raises(TracegradError) as caught:
        compiled(CALLS[0])
    assert caught.value.where.file == __file__
    assert caught.value.where.line == REFUSED[name].__code__.co_firstlineno + (REFUSED[name] in (raising, setting))
    assert caught.value.fix
    assert not hasattr(logging, "silent")


def test_dates_and_files_that_are_made_inside_work(tmp_path):
    path = tmp_path / "log.txt"

    @tg.jit(compile="never")
    def f(x):
        day = dt.datetime(2020, 5, 17)
        with open(path, "w") as log:
            log.write("traced")
        kinds = isinstance(day, dt.datetime), isinstance(day, dt.date), issubclass(dt.datetime, dt.date)
        with np.errstate(divide="ignore"):
            return x * day.day * sum(kinds) * (np.datetime64("2020-05-17") - np.datetime64("2020-05-16")).astype(int)

    np.testing.assert_array_equal(f(CALLS[0]), CALLS[0] * 51)
    assert path.read_text() == "traced"
