"""The folder of compiled programs: names, checksums, locks, eviction.

A trace ``t_<16 hex digits of its key>`` is one file ``.json`` with a checksum of its own: which program runs for which
arguments, as plain data (:mod:`tracegrad.records`).

A program ``p_<16 hex digits of its hash>`` is a generated file ``.py``, what Numba compiled of it (``.nbi`` and
``.nbc``, which Numba unpickles, and which make it raise from inside when damaged), and a manifest ``.json`` with
checksums of these. The manifest is written last: files without a matching manifest do not count. Loading compiled
code is running it, so the folder must belong to the user alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
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

_PROGRAM_FILE = re.compile(r"[pt]_[0-9a-f]{16}\.")
_PLACEHOLDER = "_HASH_"
_FORMAT = 1


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

    @property
    def compiled_path(self) -> Path:
        """Where Numba puts compiled code, unless its own settings name another folder."""
        return self.path / "__pycache__"

    def source_path(self, name: str) -> Path:
        """Return where a program's generated source stands."""
        return self.path / f"{name}.py"

    def _manifest_path(self, name: str) -> Path:
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

    def is_complete(self, name: str, compiled: Path) -> bool:
        """Say whether the compiled files of a program are all there and unharmed.

        Parameters
        ----------
        name
            The program.
        compiled
            The folder where Numba will look for them.
        """
        try:
            manifest = json.loads(self._manifest_path(name).read_bytes())
            expected = manifest["files"] if manifest["format"] == _FORMAT else None
            return bool(expected) and expected == _checksums(compiled, name)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def seal(self, name: str, compiled: Path) -> None:
        """Write the manifest of a program whose compiled files are all written.

        Raises
        ------
        OSError
            The manifest cannot be written.
        """
        files = _checksums(compiled, name)
        if files:
            write_atomically(self._manifest_path(name), json.dumps({"format": _FORMAT, "files": files}).encode())

    def touch(self, name: str) -> None:
        """Note that a program was used now, so that it is among the last to be evicted."""
        with contextlib.suppress(OSError):
            os.utime(self._manifest_path(name))

    def discard(self, name: str, compiled: Path) -> None:
        """Remove what was compiled of a program, whole or partial; its source and lock stay."""
        self._manifest_path(name).unlink(missing_ok=True)
        _remove(_files_of(compiled, name))

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
        """Remove a program, the manifest first."""
        self._manifest_path(name).unlink(missing_ok=True)
        _remove(_files_of(self.compiled_path, name))
        _remove(_files_of(self.path, name))

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
        path = self._manifest_path(name)
        try:
            checksum, _, text = path.read_bytes().partition(b"\n")
            if hashlib.sha256(text).hexdigest().encode() != checksum:
                return None
            with contextlib.suppress(OSError):
                os.utime(path)
            return text.decode()
        except (OSError, UnicodeDecodeError):
            return None

    def put_trace(self, name: str, text: str) -> None:
        """Write a trace, with the checksum that tells later whether it is unharmed.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        data = text.encode()
        write_atomically(self._manifest_path(name), hashlib.sha256(data).hexdigest().encode() + b"\n" + data)

    def _all_files(self) -> Iterator[Path]:
        for folder in (self.path, self.compiled_path):
            if folder.is_dir():
                yield from (path for path in folder.iterdir() if _PROGRAM_FILE.match(path.name))

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


def _files_of(folder: Path, name: str) -> list[Path]:
    return sorted(folder.glob(f"{name}.*"))


def _checksums(folder: Path, name: str) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in _files_of(folder, name)
        if path.suffix in (".nbi", ".nbc")  # not another process's temporary files
    }


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
