"""The folder of compiled programs: names, checksums, locks, eviction.

A trace ``t_<16 hex digits of its key>`` is one file ``.json`` with a checksum of its own: which program runs for which
arguments, as plain data (:mod:`tracegrad.records`).

A program ``p_<16 hex digits of its hash>`` is a generated file ``.py``, for reading, and its object code ``.o`` with a checksum
in front: what does not match does not count. A routine ``r_<16 hex digits>`` is the object code of a function that programs
share. Loading compiled code is running it, so the folder must belong to the user alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["CacheFolder", "CachedProgram", "UnusableFolderError", "canonical", "content_hash", "program_name"]

_PROGRAM_FILE = re.compile(r"[prt]_[0-9a-f]{16}\.")
_PLACEHOLDER = "_HASH_"


class UnusableFolderError(OSError):
    """A folder that cannot hold compiled programs, with the reason in the user's terms."""


def canonical(source: str) -> str:
    r"""Return a source without trailing blanks, ending in one newline: the form that is hashed and written.

    Examples
    --------
    >>> canonical("x = 1  \n\n\n")
    'x = 1\n'
    """
    return "\n".join(line.rstrip() for line in source.splitlines()).rstrip("\n") + "\n"


def content_hash(source: str, ingredients: Iterable[str]) -> str:
    """Return the hash that names a program.

    Parameters
    ----------
    source
        The canonical source.
    ingredients
        All else that the compiled code depends on.

    Returns
    -------
    str
        64 hex digits, the first 16 of which stand in names.
    """
    hashed = hashlib.sha256()
    for text in (source, *ingredients):
        data = text.encode()
        hashed.update(len(data).to_bytes(8, "little"))  # so that no two lists of texts run into each other
        hashed.update(data)
    return hashed.hexdigest()


def program_name(digest: str) -> str:
    """Return the name of a program's module and files."""
    return f"p_{digest[:16]}"


def named(source: str, digest: str) -> str:
    """Return a source with its placeholders replaced: ``k0_HASH_`` becomes ``k0_`` and 16 hex digits."""
    return source.replace(_PLACEHOLDER, f"_{digest[:16]}")


@dataclass(frozen=True, slots=True)
class CachedProgram:
    """A program or a trace in a cache folder: its size in bytes, and when it was last loaded in seconds since the epoch."""

    name: str
    nbytes: int
    used: float


@dataclass(frozen=True, slots=True)
class CacheFolder:
    """A checked folder of compiled programs; make one with :meth:`open`."""

    path: Path

    @classmethod
    def open(cls, path: Path) -> CacheFolder:
        """Make the folder where it is missing, and check that it is writable and the user's own.

        Parameters
        ----------
        path
            The folder.

        Raises
        ------
        UnusableFolderError
            Not writable, owned by someone else, or writable by others.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = path.stat()
            tempfile.TemporaryFile(dir=path).close()
        except OSError as error:
            raise UnusableFolderError(f"it is not writable ({error.strerror or error})") from error
        if hasattr(os, "getuid"):
            if status.st_uid != os.getuid():
                raise UnusableFolderError("it is owned by another user, and loading compiled code is running it")
            if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise UnusableFolderError("other users can write to it, and loading compiled code is running it")
        return cls(path)

    def source_path(self, name: str) -> Path:
        """Return where a program's generated source stands."""
        return self.path / f"{name}.py"

    def _trace_path(self, name: str) -> Path:
        return self.path / f"{name}.json"

    def put_source(self, name: str, text: str) -> None:
        """Write a generated source, unless the file already holds it.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        path = self.source_path(name)
        try:
            if path.read_bytes() == text.encode():
                return
        except OSError:
            pass
        write_atomically(path, text.encode())

    def code_path(self, name: str) -> Path:
        """Return where a program's object code stands."""
        return self.path / f"{name}.o"

    def code(self, name: str) -> bytes | None:
        """Return the object code of a program, None where there is none or it is damaged."""
        return _checked(self.code_path(name))

    def put_code(self, name: str, code: bytes) -> None:
        """Write the object code of a program.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        write_atomically(self.code_path(name), _with_checksum(code))

    def touch(self, name: str) -> None:
        """Note that a program was used now, so that it is among the last to be evicted."""
        with contextlib.suppress(OSError):
            os.utime(self.code_path(name))

    def programs(self) -> list[CachedProgram]:
        """Return the programs and traces in the folder, the one not used for longest first."""
        sizes: dict[str, int] = {}
        used: dict[str, float] = {}
        for path in self._all_files():
            with contextlib.suppress(OSError):
                status = path.stat()
                name = path.name.partition(".")[0]
                sizes[name] = sizes.get(name, 0) + status.st_size
                used[name] = max(used.get(name, 0.0), status.st_mtime)
        return sorted((CachedProgram(name, sizes[name], used[name]) for name in sizes), key=lambda found: found.used)

    def evict(self, limit: int, keep: str = "") -> list[str]:
        """Remove the programs not used for longest until the rest fits.

        Programs that a process has loaded go on working there without their files.

        Parameters
        ----------
        limit
            Bytes to keep at most.
        keep
            A program that stays in any case.

        Returns
        -------
        list of str
            The programs removed.
        """
        programs = self.programs()
        total = sum(program.nbytes for program in programs)
        removed = []
        for program in programs:
            if total <= limit:
                break
            if program.name != keep:
                self.remove(program.name)
                total -= program.nbytes
                removed.append(program.name)
        return removed

    def remove(self, name: str) -> None:
        """Remove a program or a trace."""
        _remove(sorted(self.path.glob(f"{name}.*")))

    def clear(self) -> None:
        """Remove all programs; no other file of the folder is touched."""
        for program in self.programs():
            self.remove(program.name)

    def trace(self, name: str) -> str | None:
        """Return the text of a trace, None where there is none or it is damaged.

        Parameters
        ----------
        name
            The trace.
        """
        path = self._trace_path(name)
        text = _checked(path)
        if text is None:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return text.decode()

    def put_trace(self, name: str, text: str) -> None:
        """Write a trace, with the checksum that tells later whether it is unharmed.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        write_atomically(self._trace_path(name), _with_checksum(text.encode()))

    def _all_files(self) -> Iterator[Path]:
        if self.path.is_dir():
            yield from (path for path in self.path.iterdir() if _PROGRAM_FILE.match(path.name))

    @contextlib.contextmanager
    def building(self, name: str, patience: float = 60.0) -> Iterator[None]:
        """Keep other processes from compiling the same program meanwhile.

        The lock saves work; correctness does not need it, as all files are replaced whole. So where the system has no
        such locks, or their holder takes longer than ``patience`` seconds, the caller goes on without.

        Parameters
        ----------
        name
            The program.
        patience
            Seconds to wait at most.
        """
        with contextlib.ExitStack() as stack:
            try:
                lock = stack.enter_context((self.path / f"{name}.lock").open("ab"))
            except OSError:
                yield
                return
            until = time.monotonic() + patience
            while not _try_lock(lock.fileno()) and time.monotonic() < until:
                time.sleep(0.02)
            yield  # closing the file releases the lock


def _locks() -> ModuleType | None:
    """Return the module of POSIX file locks, None on a system without it."""
    try:
        return importlib.import_module("fcntl")
    except ImportError:
        return None


def _try_lock(descriptor: int) -> bool:
    """Take the lock, or say that another process has it; True as well where there are no locks."""
    locks: Any = _locks()
    if locks is None:
        return True
    try:
        locks.flock(descriptor, locks.LOCK_EX | locks.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    return True


def _with_checksum(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode() + b"\n" + data


def _checked(path: Path) -> bytes | None:
    """Return what a file with a checksum holds, None where it is missing or damaged."""
    try:
        checksum, _, data = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest().encode() == checksum else None


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):  # open in another process, on systems that mind
            path.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that readers see the old contents or the new, never a part.

    Parameters
    ----------
    path
        The file.
    data
        Its new contents.

    Raises
    ------
    OSError
        The file cannot be written; nothing is left behind.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
