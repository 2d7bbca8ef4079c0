"""Loads generated programs: from the cache folder, or compiled now.

A program's text is never run: it is translated to LLVM IR, and what the cache folder keeps is the object code of that. Under
``NUMBA_DISABLE_JIT=1`` it runs as the Python it is.

The only importer of the modules that import llvmlite or Numba, the former when the first program is loaded, the latter when
threads start or njit code asks for a program: ``import tracegrad`` stays at the cost of NumPy.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.metadata
import linecache
import os
import platform
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from tracegrad.errors import CacheWarning, CompileError
from tracegrad.runtime import generated
from tracegrad.runtime.kernelcache import CacheFolder, UnusableFolderError, canonical, content_hash, named, program_name
from tracegrad.runtime.threads import GATE, start_tbb

__all__ = ["LoadedProgram", "ProgramRegistry", "cache_folder", "inspect_asm", "inspect_llvm", "load_program", "start_threads"]

ABI_VERSION: Final = 2
"""Part of every content hash: raise it when a word changes its meaning without the sources changing."""
DEFAULT_LIMIT: Final = 2 << 30
"""Bytes of compiled programs to keep, unless the caller says otherwise."""


@dataclass(frozen=True, slots=True)
class LoadedProgram:
    """A program ready to be called.

    Attributes
    ----------
    entry
        The compiled entry, a built-in function: takes the arguments the source declares, returns None, releases the GIL.
    digest
        The content hash, 64 hex digits.
    source
        The generated file's text.
    path
        The file, None for a program that lives in memory only.
    from_cache
        Whether nothing had to be compiled.
    seconds
        What the load took.
    """

    entry: Callable[..., None]
    digest: str
    source: str = field(repr=False)
    path: Path | None
    from_cache: bool
    seconds: float

    def assembly(self) -> str:
        """Return the machine code of the whole program, compiled anew in memory."""
        return inspect_asm(self.source)

    def dispatcher(self) -> Any:
        """Return the program as a function for njit code, with the arguments of the entry."""
        return numba_side().dispatcher(self.source, program_name(self.digest), declared_arguments(self.source))


# ---------------------------------------------------------------- what compiled code depends on


@dataclass(frozen=True)
class Toolchain:
    """The module that compiles, and the hash of all that compiled code depends on besides its source."""

    machine: Any
    fingerprint: str


def _library_texts() -> tuple[str, ...]:
    """Return the sources of all code that decides what programs become."""
    package = Path(__file__).parent.parent
    names = ("boundary", "calling", "crew", "externals", "lapack", "launching", "machine", "steps", "threads", "words")
    own = [package / "core" / "capsules.py", *(package / "runtime" / f"{name}.py" for name in names)]
    stems = ("kinds", "shares", "translate", "versions", "writer", "processor", "mathlib*", "microkernels*")
    helpers = [path for stem in stems for path in sorted((package / "codegen").glob(f"{stem}.py"))]
    return tuple(path.read_text("utf-8") for path in (*own, *helpers))


@cache
def _toolchain() -> Toolchain:
    """Import llvmlite and our modules on top of it; 0.05 s, so only when a program is loaded."""
    machine = importlib.import_module("tracegrad.runtime.machine")
    versions = tuple(f"{name} {importlib.metadata.version(name)}" for name in ("llvmlite", "numpy", "scipy"))
    python = f"{sys.implementation.cache_tag} {platform.python_version()}"
    ingredients = (str(ABI_VERSION), *versions, python, *machine.settings(), *_library_texts())
    return Toolchain(machine, content_hash("", ingredients))


def numba_side() -> Any:
    """Import the module that imports Numba; 0.3 s and more, so only when there is need."""
    return importlib.import_module("tracegrad.runtime.native")


def jit_disabled() -> bool:
    """Say whether ``NUMBA_DISABLE_JIT`` asks for programs that run as Python."""
    return os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


@cache
def start_threads() -> None:
    """Start the thread pool, once; where it does not start, programs run on one thread and a warning says why."""
    if jit_disabled():
        return
    addresses = start_tbb()
    if addresses is not None:
        GATE.open("tbb", *addresses)
        return
    support = numba_side().start_threads()
    if not support.available:
        warnings.warn(support.reason, RuntimeWarning, stacklevel=3)


# ---------------------------------------------------------------- compiling


def declared_arguments(source: str) -> tuple[str, ...]:
    """Return the types that the entry of a program declares for its arguments.

    Raises
    ------
    CompileError
        For a text that is no program.
    """
    try:
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef):
                for mark in node.decorator_list:
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "entry":
                        return tuple(ast.literal_eval(argument) for argument in mark.args)
    except SyntaxError as error:
        raise CompileError(f"the generated program is not Python: {error}", fix=REPORT) from error
    raise CompileError("the generated program has no entry", fix=REPORT)


REPORT: Final = "report this as a fault of tracegrad, with the text above"


def _compile(tools: Toolchain, text: str, name: str, arguments: tuple[str, ...], crew: Any) -> Any:
    """Begin to compile a program."""
    with _counted(f"run{name[1:]}"):
        try:
            return tools.machine.begun(text, name, arguments, crew)
        except tools.machine.TranslationError as error:
            raise CompileError(f"the generated program {name} did not compile: {error}", fix=REPORT) from error


@contextlib.contextmanager
def _counted(name: str) -> Iterator[None]:
    """Tell those who count what Numba compiles, where Numba is loaded, that a program is compiled now."""
    event = sys.modules.get("numba.core.event")
    if event is None:
        yield
        return
    function = SimpleNamespace(__name__=name)
    with event.trigger_event("numba:compile", data={"dispatcher": SimpleNamespace(py_func=function, __name__=name)}):
        yield


def _as_python(name: str, text: str) -> Callable[..., None]:
    """Return the entry of a program that runs as Python; tracebacks show its lines."""
    filename = f"<tracegrad {name}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {"__name__": f"{generated.__name__}.{name}"}
    exec(compile(text, filename, "exec"), namespace)
    entry: Callable[..., None] = namespace[f"run{name[1:]}"]
    return entry


# ---------------------------------------------------------------- loading


class ProgramRegistry:
    """The programs of a process, each loaded once whichever threads ask for it."""

    def __init__(self) -> None:
        self._programs: dict[tuple[str, int], LoadedProgram] = {}
        self._folders: dict[Path, CacheFolder | None] = {}
        self._renew_locks()
        if hasattr(os, "register_at_fork"):
            this = weakref.ref(self)

            def renew() -> None:
                registry = this()
                if registry is not None:
                    registry._renew_locks()

            # A thread of the parent may hold a lock at the fork, and does not exist in the child.
            os.register_at_fork(after_in_child=renew)

    def _renew_locks(self) -> None:
        self._guard = threading.Lock()
        self._building: dict[tuple[str, int], threading.Lock] = {}

    def load(
        self, source: str, entry_arguments: tuple[str, ...], cache_dir: Path, limit: int = DEFAULT_LIMIT, row: int = 0
    ) -> LoadedProgram:
        """Load a program; see :func:`load_program`."""
        began = time.perf_counter()
        tools = _toolchain()
        source = canonical(source)
        digest = content_hash(source, (*entry_arguments, tools.fingerprint))
        key = digest, tools.machine.reach(row)
        with self._guard:
            known = self._programs.get(key)
            if known is not None:
                return replace(known, from_cache=True, seconds=time.perf_counter() - began)
            lock = self._building.setdefault(key, threading.Lock())
        with lock:
            known = self._programs.get(key)
            if known is None:
                known = self._build(_Build(tools, source, digest, entry_arguments, began, row), cache_dir, limit)
                with self._guard:
                    self._programs[key] = known
                    self._building.pop(key, None)
        return known

    def _build(self, build: _Build, cache_dir: Path, limit: int) -> LoadedProgram:
        """Load or compile with the folder where it can be used, else in memory."""
        if jit_disabled():
            return build.as_python()
        folder = self._folder(cache_dir)
        if folder is not None:
            try:
                return build.with_folder(folder, limit)
            except OSError as error:  # a full disk, a folder made read-only meanwhile
                with self._guard:
                    self._folders[cache_dir] = None
                _warn_unusable(cache_dir, f"writing to it failed ({error.strerror or error})")
        return build.in_memory()

    def _folder(self, cache_dir: Path) -> CacheFolder | None:
        """Return the checked folder, None where it cannot be used; the user is told once."""
        with self._guard:
            if cache_dir not in self._folders or (
                self._folders[cache_dir] is not None and not cache_dir.is_dir()  # removed meanwhile
            ):
                try:
                    self._folders[cache_dir] = CacheFolder.open(cache_dir)
                except UnusableFolderError as error:
                    self._folders[cache_dir] = None
                    _warn_unusable(cache_dir, str(error))
            return self._folders[cache_dir]


def _warn_unusable(cache_dir: Path, reason: str) -> None:
    warnings.warn(
        f"compiled kernels are not kept in {cache_dir}: {reason}. Results are right, but every process compiles again; "
        "set tg.config.cache_dir to a folder of your own.",
        CacheWarning,
        stacklevel=5,
    )


@dataclass(frozen=True)
class _Build:
    """One load of one program."""

    tools: Toolchain
    source: str
    digest: str
    arguments: tuple[str, ...]
    began: float
    row: int

    @property
    def name(self) -> str:
        """The program's name."""
        return program_name(self.digest)

    @property
    def text(self) -> str:
        """The program's file."""
        return named(self.source, self.digest)

    def check(self) -> None:
        """Raise CompileError unless the caller passes what the entry takes; kept code was checked before it was made."""
        declared = declared_arguments(self.source)
        if declared != self.arguments:
            raise CompileError(
                f"the entry of the generated program {self.name} takes {declared}, its caller passes {self.arguments}"
            )

    def compiled(self, folder: CacheFolder | None) -> tuple[Any, dict[str, bytes]]:
        """Return the object code, made now, and that of its routines."""
        self.check()
        crew = self.tools.machine.Crew()
        begun = _compile(self.tools, self.text, self.name, self.arguments, crew)
        routines = self._routines(begun.routines, folder, crew)  # while threads are at work on the program
        return begun.code(), routines

    def as_python(self) -> LoadedProgram:
        """Compile nothing."""
        self.check()
        return self._loaded(_as_python(self.name, self.text), None, from_cache=False)

    def in_memory(self) -> LoadedProgram:
        """Compile without leaving files."""
        code, routines = self.compiled(None)
        return self._linked(code, routines, None, from_cache=False)

    def with_folder(self, folder: CacheFolder, limit: int) -> LoadedProgram:
        """Load from the folder, or compile into it.

        Raises
        ------
        OSError
            The folder cannot be written to after all.
        """
        folder.put_source(self.name, self.text)
        kept = folder.code(self.name)
        if kept is not None:
            folder.touch(self.name)
            return self._unpacked(kept, folder)
        with folder.building(self.name):
            kept = folder.code(self.name)  # another process may have made it meanwhile
            if kept is None:
                code, routines = self.compiled(folder)
                folder.put_code(self.name, code.packed())
        folder.evict(limit, keep=self.name)
        return self._unpacked(kept, folder) if kept is not None else self._linked(code, routines, folder, from_cache=False)

    def _unpacked(self, kept: bytes, folder: CacheFolder) -> LoadedProgram:
        code = self.tools.machine.Code.unpacked(kept)
        routines = self._routines(code.routines, folder, self.tools.machine.Crew())
        return self._linked(code, routines, folder, from_cache=True)

    def _linked(self, code: Any, routines: dict[str, bytes], folder: CacheFolder | None, from_cache: bool) -> LoadedProgram:
        machine = self.tools.machine
        machine.bind_externals(code.externals)
        _, absent = machine.with_parts(code.routines, self.row)
        entry = machine.linked(self.name, *code.objects, *routines.values(), absent=absent)
        return self._loaded(entry, folder.source_path(self.name) if folder is not None else None, from_cache)

    def _routines(self, names: frozenset[str], folder: CacheFolder | None, crew: Any) -> dict[str, bytes]:
        """Return the object code of routines, which all programs share that call them."""
        machine = self.tools.machine
        codes: dict[str, bytes] = {}
        later: dict[str, tuple[str, Any]] = {}
        for routine in machine.with_parts(names, self.row)[0]:
            name = f"r_{content_hash(routine, (self.tools.fingerprint,))[:16]}"
            code = folder.code(name) if folder is not None else None
            if code is None:
                later[routine] = name, machine.begun_routine(routine, crew)
                continue
            codes[routine] = code
            if folder is not None:
                folder.touch(name)
        for routine, (name, begun) in later.items():
            codes[routine] = begun.result()
            if folder is not None:
                folder.put_code(name, codes[routine])
        return codes

    def _loaded(self, entry: Any, path: Path | None, from_cache: bool) -> LoadedProgram:
        return LoadedProgram(entry, self.digest, self.text, path, from_cache, time.perf_counter() - self.began)


PROGRAMS: Final = ProgramRegistry()
"""The programs of this process."""


def load_program(
    source: str, entry_arguments: tuple[str, ...], cache_dir: Path, limit: int = DEFAULT_LIMIT, row: int = 0
) -> LoadedProgram:
    """Return a program ready to be called: the one already loaded, one from the cache folder, or one compiled now.

    Threads and processes that ask for the same program at the same time compile it once.

    Parameters
    ----------
    source
        A generated program file, with ``_HASH_`` at the end of the names of its functions; the entry is ``run_HASH_``.
    entry_arguments
        The argument types the caller will pass; must be those of the source's ``@entry``.
    cache_dir
        The folder of compiled programs, usually ``config.cache_dir``. Where it cannot be used, the program is compiled
        in memory and one warning names the reason.
    limit
        Bytes to keep in the folder, usually ``config.cache_limit_bytes``; above it, the programs not used for longest
        are removed.
    row
        Bytes of the longest row of a result of a product of matrices: parts of routines that only longer ones need are not
        compiled. 0 stands for any number.

    Raises
    ------
    CompileError
        The source is wrong: a fault of the code generator.
    """
    return PROGRAMS.load(source, entry_arguments, cache_dir, limit, row)


@cache
def _direct_maker(cache_dir: Path) -> Callable[[Any], Callable[..., Any]]:
    tools = _toolchain()
    folder = PROGRAMS._folder(cache_dir)
    name = f"r_{content_hash('direct caller', (tools.fingerprint,))[:16]}"
    code = folder.code(name) if folder is not None else None
    if code is None:
        code = tools.machine.compiled_caller()
        if folder is not None:
            with contextlib.suppress(OSError):  # the folder is full, or has become read-only
                folder.put_code(name, code)
    maker: Callable[[Any], Callable[..., Any]] = tools.machine.linked_caller(code)
    return maker


def direct_caller(words: Any, cache_dir: Path) -> Callable[..., Any]:
    """Return the function that does the steps in an array of words, see :mod:`tracegrad.runtime.steps`.

    Parameters
    ----------
    words
        An array of int64, which the function holds; it must hold what the words refer to.
    cache_dir
        The folder of compiled programs.
    """
    return _direct_maker(cache_dir)(words)


def entry_address(entry: Callable[..., None]) -> int:
    """Return the address of the native entry behind a program's function, 0 for a program that runs as Python."""
    return int(getattr(getattr(entry, "__self__", None), "run", 0))


def cache_folder(cache_dir: Path) -> CacheFolder | None:
    """Return the checked folder of compiled programs, None where it cannot be used.

    Parameters
    ----------
    cache_dir
        The folder, usually ``config.cache_dir``.
    """
    return PROGRAMS._folder(cache_dir)


def _inspected(source: str) -> tuple[str, str, tuple[str, ...]]:
    digest = content_hash(canonical(source), (_toolchain().fingerprint,))
    return named(canonical(source), digest), program_name(digest), declared_arguments(source)


def inspect_asm(source: str) -> str:
    """Compile a program in memory and return its machine code as text.

    Parameters
    ----------
    source
        A program file, before or after its ``_HASH_`` was replaced.
    """
    return str(_toolchain().machine.assembly(*_inspected(source)))


def inspect_llvm(source: str) -> str:
    """Compile a program in memory and return its optimised LLVM IR as text.

    Parameters
    ----------
    source
        A program file, before or after its ``_HASH_`` was replaced.
    """
    return str(_toolchain().machine.llvm_text(*_inspected(source)))
