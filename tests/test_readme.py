"""The README's Python examples run in order, and print what stands behind each of them; its commands are those of CI."""

import doctest
import io
import linecache
import re
import shlex
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from tracegrad import pipeline

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks():
    """Yield (language, text, number of its first line, the output expected of it or None) of each fenced block."""
    found = list(FENCE.finditer(TEXT))
    for k, match in enumerate(found):
        after = found[k + 1] if k + 1 < len(found) else None
        follows = after is not None and after[1] == "text" and not TEXT[match.end() : after.start()].strip()
        yield match[1], match[2], TEXT[: match.start(2)].count("\n") + 1, after[2] if follows else None


def test_examples_print_what_the_readme_says():
    # the lines of the file, so that sources and errors can show them
    linecache.cache[str(README)] = (len(TEXT), None, TEXT.splitlines(keepends=True), str(README))
    names = {"__name__": "readme"}
    check = doctest.OutputChecker().check_output
    ran = 0
    for language, code, line, expected in blocks():
        if language != "python":
            continue
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile("\n" * (line - 1) + code, str(README), "exec"), names)
        got = printed.getvalue()
        assert check(expected or "", got, FLAGS), f"the example at README.md:{line} printed\n{got}"
        assert (expected is None) == ("print(" not in code), f"the example at README.md:{line} shows no output"
        ran += 1
    assert ran >= 10


def commands():
    return [line for language, text, _, _ in blocks() if language == "sh" for line in text.splitlines()]


def test_the_two_commands_are_those_of_ci():
    demo, tests = commands()[:2]
    assert demo == 'pip install -e ".[examples]" && tracegrad demo'
    steps = [
        shlex.split(line) for line in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines() if line[:5] == "step "
    ]
    ran = [[word for word in words[1:] if word != "--quiet"] for words in steps]
    install, test = (shlex.split(part) for part in tests.split(" && "))
    assert install in ran
    assert test in ran[ran.index(install) + 1 :]


def test_the_picture_has_the_stages_of_the_pipeline():
    picture = next(text for language, text, _, _ in blocks() if language == "text" and "──" in text)
    shown = re.findall(r"^  ([a-z ]+?) ─", picture, re.MULTILINE)
    assert shown == ["trace", *(name for name, _ in pipeline.STAGES), "call"]


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:tracegrad|tests|examples|\.ci)/[\w/.]*)`", TEXT))))
def test_files_named_exist(path):
    assert (ROOT / path).exists()


def test_rooms_are_all_listed():
    table = TEXT[TEXT.index("| room |") :].split("\n\n")[0]
    package = ROOT / "tracegrad"
    for entry in package.iterdir():
        name = f"{entry.name}/" if entry.is_dir() else entry.name
        if not name.startswith("_") and (entry.is_dir() or entry.suffix == ".py"):
            assert f"`{name}`" in table, f"{name} is not in the README's table of rooms"
