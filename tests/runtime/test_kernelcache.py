import os
import stat

import pytest

from tracegrad.runtime.kernelcache import (
    CacheFolder,
    UnusableFolderError,
    canonical,
    content_hash,
    named,
    program_name,
    write_atomically,
)

A, B, C = (f"p_{letter * 16}" for letter in "abc")


@pytest.fixture
def folder(tmp_path):
    return CacheFolder.open(tmp_path / "cache")


def fill(folder, name, used=0, size=100):
    folder.put_source(name, "pass\n")
    folder.put_code(name, b"c" * size)
    for path in folder.path.glob(f"{name}.*"):
        os.utime(path, (used, used))


def test_the_canonical_form_forgets_blanks_that_mean_nothing():
    assert canonical("x = 1  \r\n  y\n\n") == canonical("x = 1\n  y")


def test_the_hash_tells_lists_of_texts_apart():
    assert content_hash("s", ["ab", "c"]) != content_hash("s", ["a", "bc"])
    assert content_hash("s", ["ab"]) == content_hash("s", ["ab"])


def test_names_carry_sixteen_digits_of_the_hash():
    digest = content_hash("s", [])
    assert program_name(digest) == f"p_{digest[:16]}"
    assert named("def k0_HASH_(): ...", digest) == f"def k0_{digest[:16]}(): ..."


def test_a_new_folder_is_private(folder):
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path, mode):
    tmp_path.chmod(mode)
    with pytest.raises(UnusableFolderError, match="other users can write"):
        CacheFolder.open(tmp_path)


def test_a_folder_of_someone_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(UnusableFolderError, match="owned by another user"):
        CacheFolder.open(tmp_path / "x")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnusableFolderError, match="not writable"):
        CacheFolder.open(tmp_path / "file" / "cache")


def test_object_code_counts_until_it_changes(folder):
    fill(folder, A)
    assert folder.code(A) == b"c" * 100
    path = folder.code_path(A)
    whole = path.read_bytes()
    for damage in (whole[:-1], whole + b"c", b"x" + whole[1:], whole[:-1] + b"d", b"", b"\n", whole[:64]):
        path.write_bytes(damage)
        assert folder.code(A) is None
    path.write_bytes(whole)
    assert folder.code(A) == b"c" * 100
    path.unlink()
    assert folder.code(A) is None


def test_a_damaged_source_is_written_again(folder):
    folder.put_source(A, "x = 1\n")
    folder.source_path(A).write_text("x = 2\n")
    folder.put_source(A, "x = 1\n")
    assert folder.source_path(A).read_text() == "x = 1\n"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_eviction_removes_what_was_not_used_for_longest(folder):
    fill(folder, A, used=3)
    fill(folder, B, used=1)
    fill(folder, C, used=2)
    total = sum(program.nbytes for program in folder.programs())
    assert [program.name for program in folder.programs()] == [B, C, A]
    assert folder.evict(total) == []
    assert folder.evict(total - 1) == [B]
    assert not list(folder.path.glob(f"**/{B}*"))
    assert folder.evict(0, keep=A) == [C]
    assert folder.code(A) is not None


def test_use_puts_a_program_last(folder):
    fill(folder, A, used=1)
    fill(folder, B, used=2)
    folder.touch(A)
    assert [program.name for program in folder.programs()] == [B, A]


def test_clearing_leaves_other_files_alone(folder):
    fill(folder, A)
    other = folder.path / "notes.txt"
    other.write_text("mine")
    folder.clear()
    assert folder.programs() == []
    assert other.exists()


def test_one_builder_at_a_time_unless_the_wait_is_too_long(folder):
    order = []
    with folder.building(A):
        order.append("first")
        with folder.building(B):
            order.append("another program")
        with folder.building(A, patience=0.05):
            order.append("impatient")
    with folder.building(A, patience=60):
        order.append("later")
    assert order == ["first", "another program", "impatient", "later"]
