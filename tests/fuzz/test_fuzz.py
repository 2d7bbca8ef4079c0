"""Random programs of ordinary NumPy: plain, interpreted, compiled, differentiated in every way, mapped; the same numbers.

A failure prints the smallest program as a script. The nights' seeds are those of the days and thousands more.
"""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.fuzz import oracles
from tests.fuzz.programs import Argument, Program, generate, shrunk

VALUES = (oracles.interpreted, oracles.map_agrees)
SLOPES = (oracles.forward_agrees, oracles.differences_agree, oracles.tape_agrees, oracles.second_order_agrees)


def look_at(numbers, *checks, slopes=()):
    """Check programs; how many were refused."""
    refused = 0
    for number in numbers:
        program = generate(number)
        word, detail = oracles.outcome(program, *checks, slopes=slopes)
        refused += word == "refused"
        assert word not in ("wrong", "crash"), oracles.report(program, *checks, slopes=slopes) or detail
        assert word != "no program", f"program {number}: {detail}"
    return refused


@pytest.mark.parametrize("start", range(0, 60, 10))
def test_interpreted(start):
    assert look_at(range(start, start + 10), *VALUES, slopes=SLOPES) < 6


@pytest.mark.parametrize("start", [0, 5])
def test_compiled(start):
    assert oracles.batch_agrees([generate(number, statements=(2, 6)) for number in range(start, start + 5)]) > 2


@pytest.mark.nightly
@pytest.mark.parametrize("start", range(60, 4060, 100))
def test_interpreted_by_night(start):
    assert look_at(range(start, start + 100), *VALUES, slopes=SLOPES) < 35


@pytest.mark.nightly
@pytest.mark.parametrize("start", range(10, 310, 10))
def test_compiled_by_night(start):
    look_at(range(start, start + 10), oracles.compiled, slopes=(oracles.compiled_slopes,))


# -- the fuzzer itself --------------------------------------------------------------------------------------------------


def test_programs_are_made_by_their_numbers_and_run_as_scripts():
    program = generate(3)
    assert program == generate(3) != generate(4)
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", program.script()], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[: len(lines) // 2] == lines[len(lines) // 2 :]


PROGRAM = Program(
    0,
    (Argument("a0", "np.linspace(0.0, 1.0, 3)"), Argument("a1", "2.0")),
    ("v1 = np.sin(a0)", "v2 = v1 + a1", "v3 = np.zeros(3)", "v3[0] = v2[1]", "v4 = v1 * a0", "v5 = v3 - v4"),
    ("v4", "v5", "a0"),
)


def wrong_if(text):
    """An oracle that objects to programs with a text in them."""

    def check(case):
        if any(text in statement for statement in case.program.statements):
            raise oracles.Wrong("value", "as the test wants it")

    return check


def test_failing_programs_are_shrunk():
    text = oracles.report(PROGRAM, wrong_if("v3[0] ="))
    assert "program 0 is wrong: value: as the test wants it" in text
    body = text.split("def f(")[1].split("return")[0].splitlines()[1:-1]
    assert [line.strip() for line in body] == ["v3 = np.zeros(3)", "v3[0] = a0[1]"]
    assert oracles.report(PROGRAM, wrong_if("no such text")) is None
    assert shrunk(PROGRAM, lambda smaller: True).statements == ()


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda f: [r * (1 + 1e-6) for r in f], "value"),
        (lambda f: [np.asarray(r, np.float32) for r in f], "value"),
        (lambda f: [np.reshape(r, (1, -1)) for r in f], "value"),
    ],
)
def test_differences_are_seen(change, kind):
    case = oracles.Case.of(replace(PROGRAM, results=("v4", "v5")))
    function = case.program.function()
    oracles.values_agree(case, lambda *values: [r.copy() for r in function(*values)])
    with pytest.raises(oracles.Wrong, match=kind):
        oracles.values_agree(case, lambda *values: change(function(*values)))


def test_wrong_slopes_are_seen():
    slopes = oracles.Slopes.of(oracles.Case.of(PROGRAM))
    wrong = replace(slopes, gradient=tuple(1.001 * np.asarray(g) for g in slopes.gradient))
    for check in (oracles.forward_agrees, oracles.differences_agree):
        check(slopes)
        with pytest.raises(oracles.Wrong):
            check(wrong)


def test_aliases_and_written_arguments_are_seen():
    case = oracles.Case.of(replace(PROGRAM, results=("a0",)))
    with pytest.raises(oracles.Wrong, match="shares memory"):
        oracles.values_agree(case, case.program.function())

    def writes(a, b):
        a += 1.0
        return [a - 1.0]

    with pytest.raises(oracles.Wrong, match="written to"):
        oracles.values_agree(case, writes)
