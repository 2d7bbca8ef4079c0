import shutil
import threading
import warnings

import numpy as np
import pytest
from numba.core import event

from tracegrad.errors import CacheWarning, CompileError
from tracegrad.runtime.load import LoadedProgram, ProgramRegistry, inspect_asm

X = np.linspace(-1.0, 2.0, 3000)

# Prints the names of the programs that are compiled in the process, then whether the program came from the cache.
COUNTED = """
import sys
import tracegrad
assert "llvmlite" not in sys.modules
from tracegrad.runtime.load import load_program
assert "llvmlite" not in sys.modules
from numba.core import event
compiled = []
class Names(event.Listener):
    def on_start(self, event): compiled.append(event.data["dispatcher"].py_func.__name__.rpartition("_")[0])
    def on_end(self, event): pass
event.register("numba:compile", Names())
program = load_program(CHAIN, ARGUMENTS, FOLDER)
value, out = call_chain(program.entry, np.linspace(-1.0, 2.0, 300_000))
print(sorted(filter(None, compiled)), len(compiled) > 0, program.from_cache, float(value).hex())
"""


class Recorder(event.Listener):
    """Counts the compilations of entries, and does something at the start of each."""

    def __init__(self, at_start=lambda: None):
        self.entries = 0
        self.at_start = at_start

    def on_start(self, event):
        self.entries += event.data["dispatcher"].py_func.__name__.startswith("run_")
        self.at_start()

    def on_end(self, event):
        pass


@pytest.fixture
def recording():
    listeners = []

    def start(*args):
        listeners.append(Recorder(*args))
        event.register("numba:compile", listeners[-1])
        return listeners[-1]

    yield start
    for listener in listeners:
        event.unregister("numba:compile", listener)


def files(folder):
    """Return the files of a cache folder by kind; locks are no contents."""
    return {path.name.partition(".")[2]: path for path in folder.glob("**/*") if path.is_file() and path.suffix != ".lock"}


def test_a_second_process_compiles_nothing(run_python):
    first, second = run_python(COUNTED), run_python(COUNTED)
    assert first.startswith("['run'] True False")
    assert second.startswith("[] False True")
    assert first.split()[-1] == second.split()[-1]


def test_processes_that_race_on_a_cold_cache_agree(run_python):
    processes = [run_python(COUNTED, wait=False) for _ in range(3)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert len({out.split()[-1] for out, _ in outputs}) == 1
    assert sorted(out.startswith("[]") for out, _ in outputs) == [False, True, True]  # the others waited for the first
    assert run_python(COUNTED).startswith("[] False True")


def test_what_is_loaded_is_described(registry, chain, tmp_path):
    program = registry.load(chain.source, chain.arguments, tmp_path / "cache")
    assert isinstance(program, LoadedProgram)
    assert program.path.read_text() == program.source
    assert program.path.stem == f"p_{program.digest[:16]}"
    assert f"def run_{program.digest[:16]}(" in program.source
    assert not program.from_cache
    assert program.seconds > 0
    known = registry.load(chain.source + "\n\n", chain.arguments, tmp_path / "cache")
    assert known.entry is program.entry
    assert known.from_cache  # nothing was compiled for it
    again = ProgramRegistry().load(chain.source, chain.arguments, tmp_path / "cache")
    assert again.from_cache
    assert chain.call(again.entry, X)[0] == chain.call(program.entry, X)[0]
    assert f"k0_{program.digest[:16]}" in again.assembly()
    assert "k0" in inspect_asm(chain.source)


@pytest.mark.parametrize("kind", ["py", "o"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "gone"])
def test_damaged_files_are_made_again(registry, chain, tmp_path, kind, damage):
    folder = tmp_path / "cache"
    program = registry.load(chain.source, chain.arguments, folder)
    path = files(folder)[kind]
    data = path.read_bytes()
    middle = len(data) // 2
    if damage == "truncated":
        path.write_bytes(data[:middle])
    elif damage == "flipped":
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    else:
        path.unlink()
    rebuilt = ProgramRegistry().load(chain.source, chain.arguments, folder)
    assert rebuilt.from_cache == (kind == "py")  # its text is known, so it alone is put right without compiling
    assert chain.call(rebuilt.entry, X)[0] == chain.call(program.entry, X)[0]
    assert ProgramRegistry().load(chain.source, chain.arguments, folder).from_cache


def test_threads_that_ask_at_once_compile_once(registry, chain, tmp_path, recording):
    recorder = recording()
    start = threading.Barrier(8)
    programs = []

    def ask():
        start.wait()
        programs.append(registry.load(chain.source, chain.arguments, tmp_path / "cache"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorder.entries == 1
    assert len(programs) == 8
    assert all(program is programs[0] for program in programs)


def test_an_interrupted_compilation_leaves_nothing_broken(registry, chain, tmp_path, recording):
    def interrupt():
        raise KeyboardInterrupt

    recorder = recording(interrupt)
    with pytest.raises(KeyboardInterrupt):
        registry.load(chain.source, chain.arguments, tmp_path / "cache")
    assert [name for name in files(tmp_path / "cache") if name != "py"] == []
    recorder.at_start = lambda: None
    program = registry.load(chain.source, chain.arguments, tmp_path / "cache")  # the same locks
    assert program.path is not None
    assert chain.call(program.entry, X)[0] == pytest.approx(1.5 * X.sum())


def test_an_interrupt_before_the_object_code_is_written_leaves_nothing_broken(registry, chain, tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tracegrad.runtime.kernelcache.CacheFolder.put_code", interrupt)
        with pytest.raises(KeyboardInterrupt):
            registry.load(chain.source, chain.arguments, tmp_path / "cache")
    assert list(files(tmp_path / "cache")) == ["py"]
    assert not registry.load(chain.source, chain.arguments, tmp_path / "cache").from_cache


def test_a_program_needs_no_numba(run_python):
    script = """
import sys
from tracegrad.runtime.load import load_program
value, out = call_chain(load_program(CHAIN, ARGUMENTS, FOLDER).entry, np.arange(10_000.0), parallel=0)
print(value == 1.5 * np.arange(10_000.0).sum(), "numba" in sys.modules)
"""
    assert run_python(script).split() == ["True", "False"]


def test_a_folder_that_cannot_be_used_costs_one_warning(registry, chain, tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "cache"
    with pytest.warns(CacheWarning, match=r"not kept in .*tg\.config\.cache_dir") as caught:
        program = registry.load(chain.source, chain.arguments, folder)
    assert len(caught) == 1
    assert program.path is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = registry.load(chain.source + "# other", chain.arguments, folder)
    assert chain.call(program.entry, X)[0] == chain.call(other.entry, X)[0] == pytest.approx(1.5 * X.sum())


def test_a_disk_that_fills_up_costs_one_warning(registry, chain, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tracegrad.runtime.kernelcache.write_atomically", full)
    with pytest.warns(CacheWarning, match="No space left"):
        program = registry.load(chain.source, chain.arguments, tmp_path / "cache")
    assert program.path is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        registry.load(chain.source + "# other", chain.arguments, tmp_path / "cache")
    assert chain.call(program.entry, X)[0] == pytest.approx(1.5 * X.sum())


def test_a_size_limit_evicts_older_programs(registry, chain, tmp_path):
    old = registry.load(chain.source + "# old", chain.arguments, tmp_path / "cache")
    new = registry.load(chain.source + "# new", chain.arguments, tmp_path / "cache", limit=1)
    assert not old.path.exists()
    assert new.path.exists()
    assert chain.call(old.entry, X)[0] == chain.call(new.entry, X)[0]


def test_the_caller_and_the_source_must_agree_on_the_arguments(registry, chain, tmp_path):
    with pytest.raises(CompileError, match="its caller passes"):
        registry.load(chain.source, ("float64",), tmp_path / "cache")


@pytest.mark.parametrize("source", ["x = 1\n", "def run_HASH_(:\n"])
def test_a_source_that_is_no_program_is_an_error(registry, tmp_path, source):
    with pytest.raises(CompileError):
        registry.load(source, (), tmp_path / "cache")


# A user's own cached function on top of a program. Where LOADED is empty, the process never loads the program.
USER = """
import importlib.util, os, sys
folder = FOLDER.parent / "user"
folder.mkdir(exist_ok=True)
path = folder / "user_code.py"
path.write_text('''
import numba
@numba.njit(cache=True)
def twice(x, c0, value, out, arena, plan):
    run(x, c0, value, out, arena, plan)
    run(out, c0, value, out, arena, plan)
''')
spec = importlib.util.spec_from_file_location("user_code", path)
user = importlib.util.module_from_spec(spec)
sys.modules["user_code"] = user
if os.environ["LOADED"]:
    from tracegrad.runtime.load import load_program
    user.run = load_program(CHAIN, ARGUMENTS, FOLDER).dispatcher()
spec.loader.exec_module(user)
value, out = call_chain(user.twice, np.linspace(-1.0, 2.0, 300_000))
print(sum(user.twice.stats.cache_hits.values()), float(value).hex())
"""


def test_a_users_cached_function_works_without_the_program(run_python, tmp_path):
    fresh = run_python(USER, LOADED="yes").split()
    assert fresh[0] == "0"
    assert run_python(USER, LOADED="yes").split() == ["1", fresh[1]]
    shutil.rmtree(tmp_path / "cache")
    assert run_python(USER, LOADED="").split() == ["1", fresh[1]]


STUB = """
import importlib
module = importlib.import_module("tracegrad.runtime.generated.p_0123456789abcdef")
print(sorted(name for name in vars(module) if not name.startswith("__")))
try:
    importlib.import_module("tracegrad.runtime.generated.other")
except ModuleNotFoundError:
    print("no other names")
"""


def test_a_programs_module_can_be_imported_after_its_files_are_gone(run_python):
    assert run_python(STUB).split("\n")[:2] == ["[]", "no other names"]
