"""Loads generated programs: from the cache folder, or compiled now.

The only importer of the modules that import Numba, and only when the first program is loaded: ``import tracegrad``
stays at the cost of NumPy.
"""

from __future__ import annotations

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
from types import ModuleType
from typing import Any, Final

from tracegrad.errors import CacheWarning, CompileError
from tracegrad.runtime import generated
from tracegrad.runtime.kernelcache import CacheFolder, UnusableFolderError, canonical, content_hash, named, program_name

__all__ = ["LoadedProgram", "ProgramRegistry", "cache_folder", "inspect_asm", "inspect_llvm", "load_program", "start_threads"]

DEFAULT_LIMIT: Final = 2 << 30
"""Bytes of compiled programs to keep, unless the caller says otherwise."""


@dataclass(frozen=True, slots=True)
class LoadedProgram:
    """A program ready to be called.

    Attributes
    ----------
    entry
        The compiled entry: takes the arguments the source declares, returns None, releases the GIL.
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
        """Return the machine code of the whole program, compiled anew in memory.

        Programs from the cache come as object code that Numba does not disassemble, so both kinds are treated alike.
        """
        return inspect_asm(self.source)


# ---------------------------------------------------------------- what compiled code depends on


@dataclass(frozen=True)
class Toolchain:
    """The modules that import Numba, and the hash of all that compiled code depends on besides its source."""

    abi: Any
    native: Any
    fingerprint: str


def _library_texts() -> tuple[str, ...]:
    """Return the sources of all code that is compiled into programs."""
    package = Path(__file__).parent.parent
    own = [package / "runtime" / f"{name}.py" for name in ("abi", "native", "threads")]
    helpers = [path for stem in ("mathlib", "microkernels") for path in sorted((package / "codegen").glob(f"**/{stem}*.py"))]
    parts = [path for stem in ("mathlib", "microkernels") for path in sorted((package / "codegen" / stem).glob("*.py"))]
    return tuple(path.read_text("utf-8") for path in dict.fromkeys((*own, *helpers, *parts)))


@cache
def _toolchain() -> Toolchain:
    """Import Numba and our modules on top of it; 0.2 s, so only when a program is loaded."""
    abi = importlib.import_module("tracegrad.runtime.abi")
    native = importlib.import_module("tracegrad.runtime.native")
    support = native.parallel_support()
    if not support.available:
        warnings.warn(support.reason, RuntimeWarning, stacklevel=4)
    versions = tuple(f"{name} {importlib.metadata.version(name)}" for name in ("numba", "llvmlite", "numpy"))
    python = f"{sys.implementation.cache_tag} {platform.python_version()}"
    ingredients = (str(abi.ABI_VERSION), *versions, python, *native.host(), *_library_texts())
    return Toolchain(abi, native, content_hash("", ingredients))


@cache
def start_threads() -> None:
    """Start the thread pool, once; where it does not start, programs run on one thread and a warning says why."""
    native = _toolchain().native
    if native.jit_disabled() or not native.parallel_support().available:
        return
    support = native.start_threads()
    if not support.available:
        warnings.warn(support.reason, RuntimeWarning, stacklevel=3)


# ---------------------------------------------------------------- modules of programs


def _execute(name: str, text: str, filename: str) -> ModuleType:
    """Return the program's module, run from the text and known to the import system."""
    full = f"{generated.__name__}.{name}"
    module = ModuleType(full)
    module.__file__ = filename
    module.__package__ = generated.__name__
    sys.modules[full] = module
    try:
        exec(compile(text, filename, "exec"), module.__dict__)
    except BaseException:
        sys.modules.pop(full, None)
        raise
    return module


def _in_memory(name: str, text: str) -> ModuleType:
    """Return the program's module without a file; tracebacks and Numba's messages still show its lines."""
    filename = f"<tracegrad {name}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    return _execute(name, text, filename)


def _entry_of(module: ModuleType, name: str) -> Any:
    entry = getattr(module, f"run{name[1:]}", None)
    if entry is None:
        raise CompileError(f"the generated program {name} has no entry run_HASH_")
    return entry


def _compile(entry: Any, tools: Toolchain) -> bool:
    """Compile the entry for its declared arguments, or have Numba load it; return whether it was loaded."""
    if not hasattr(entry, "compile"):
        return False  # Numba is switched off: the entry is a Python function
    entry.compile(tools.abi.entry_types(entry.arguments))
    entry.disable_compile()  # other argument types are a mistake, not a reason for another overload
    return any(entry.stats.cache_hits.values())


# ---------------------------------------------------------------- loading


class ProgramRegistry:
    """The programs of a process, each loaded once whichever threads ask for it."""

    def __init__(self) -> None:
        self._programs: dict[str, LoadedProgram] = {}
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
        self._building: dict[str, threading.Lock] = {}

    def load(self, source: str, entry_arguments: tuple[str, ...], cache_dir: Path, limit: int = DEFAULT_LIMIT) -> LoadedProgram:
        """Load a program; see :func:`load_program`."""
        began = time.perf_counter()
        tools = _toolchain()
        source = canonical(source)
        digest = content_hash(source, (*entry_arguments, tools.fingerprint))
        with self._guard:
            known = self._programs.get(digest)
            if known is not None:
                return replace(known, from_cache=True, seconds=time.perf_counter() - began)
            lock = self._building.setdefault(digest, threading.Lock())
        with lock:
            known = self._programs.get(digest)
            if known is None:
                known = self._build(_Build(tools, source, digest, entry_arguments, began), cache_dir, limit)
                with self._guard:
                    self._programs[digest] = known
                    self._building.pop(digest, None)
        return known

    def _build(self, build: _Build, cache_dir: Path, limit: int) -> LoadedProgram:
        """Load or compile with the folder where it can be used, else in memory."""
        folder = None if build.tools.native.jit_disabled() else self._folder(cache_dir)
        with build.faults():
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

    @contextlib.contextmanager
    def faults(self) -> Iterator[None]:
        """Report a source that does not compile as what it is, a fault of the code generator."""
        try:
            yield
        except (SyntaxError, self.tools.native.NumbaError) as error:
            raise CompileError(
                f"the generated program {program_name(self.digest)} did not compile: {error}",
                fix="report this as a fault of tracegrad, with the text above",
            ) from error

    def in_memory(self) -> LoadedProgram:
        """Compile without leaving files."""
        name, text = program_name(self.digest), named(self.source, self.digest)
        entry = self._entry(_in_memory(name, text), name)
        _compile(entry, self.tools)
        return self._loaded(entry, text, None, from_cache=False)

    def with_folder(self, folder: CacheFolder, limit: int) -> LoadedProgram:
        """Load from the folder, or compile into it.

        Raises
        ------
        OSError
            The folder cannot be written to after all.
        """
        name, text = program_name(self.digest), named(self.source, self.digest)
        path = folder.source_path(name)
        folder.put_source(name, text)
        entry = self._entry(_execute(name, text, str(path)), name)
        compiled = Path(entry.stats.cache_path)
        sealed = folder.is_complete(name, compiled)
        if sealed:
            with contextlib.suppress(Exception):  # of any kind: it comes from unpickling
                if _compile(entry, self.tools):
                    folder.touch(name)
                    return self._loaded(entry, text, path, from_cache=True)
        with folder.building(name):
            # Files that were sealed and did not load are made anew; files sealed meanwhile are another process's.
            fresh = sealed or not folder.is_complete(name, compiled)
            entry, from_cache = self._compiled(folder, name, text, compiled, fresh)
        folder.evict(limit, keep=name)
        return self._loaded(entry, text, path, from_cache)

    def _compiled(self, folder: CacheFolder, name: str, text: str, compiled: Path, fresh: bool) -> tuple[Any, bool]:
        """Compile into the folder, or load what another process has put there while this one waited."""
        try:
            if fresh:
                folder.discard(name, compiled)
            folder.put_source(name, text)
            entry = self._entry(_execute(name, text, str(folder.source_path(name))), name)
            from_cache = _compile(entry, self.tools)
            folder.seal(name, compiled)
        except BaseException:  # an interrupt too: nothing half-written stays
            folder.discard(name, compiled)
            sys.modules.pop(f"{generated.__name__}.{name}", None)
            raise
        return entry, from_cache

    def _entry(self, module: ModuleType, name: str) -> Any:
        entry = _entry_of(module, name)
        if entry.arguments != self.arguments:
            raise CompileError(
                f"the entry of the generated program {name} takes {entry.arguments}, its caller passes {self.arguments}"
            )
        return entry

    def _loaded(self, entry: Any, text: str, path: Path | None, from_cache: bool) -> LoadedProgram:
        return LoadedProgram(entry, self.digest, text, path, from_cache, time.perf_counter() - self.began)


PROGRAMS: Final = ProgramRegistry()
"""The programs of this process."""


def load_program(source: str, entry_arguments: tuple[str, ...], cache_dir: Path, limit: int = DEFAULT_LIMIT) -> LoadedProgram:
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

    Raises
    ------
    CompileError
        The source is wrong: a fault of the code generator.
    """
    return PROGRAMS.load(source, entry_arguments, cache_dir, limit)


def cache_folder(cache_dir: Path) -> CacheFolder | None:
    """Return the checked folder of compiled programs, None where it cannot be used.

    Parameters
    ----------
    cache_dir
        The folder, usually ``config.cache_dir``.
    """
    return PROGRAMS._folder(cache_dir)


def _fresh(source: str) -> Any:
    tools = _toolchain()
    digest = content_hash(canonical(source), (tools.fingerprint,))
    text = named(canonical(source), digest)
    name = next((word for word in _run_names(text)), "run")
    filename = f"<tracegrad inspection of {name}>"
    namespace: dict[str, Any] = {"__name__": f"{generated.__name__}.p{name[3:]}"}
    exec(compile(text, filename, "exec"), namespace)
    entry = namespace[name]
    _compile(entry, tools)
    return entry


def _run_names(text: str) -> list[str]:
    lines = text.splitlines()
    return [line[4 : line.index("(")] for line in lines if line.startswith("def run_")]


def inspect_asm(source: str) -> str:
    """Compile a program in memory and return its machine code as text.

    Parameters
    ----------
    source
        A program file, before or after its ``_HASH_`` was replaced.
    """
    return "\n".join(_fresh(source).inspect_asm().values())


def inspect_llvm(source: str) -> str:
    """Compile a program in memory and return its optimised LLVM IR as text.

    Parameters
    ----------
    source
        A program file, before or after its ``_HASH_`` was replaced.
    """
    return "\n".join(_fresh(source).inspect_llvm().values())
