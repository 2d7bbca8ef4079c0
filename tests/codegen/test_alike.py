"""Equal kernels are written once, and each has its own nodes in its words."""

import dataclasses

import numpy as np
import pytest

import tracegrad as tg
from tracegrad.codegen import alike
from tracegrad.codegen.lower import lower_part
from tracegrad.codegen.render import generate
from tracegrad.pipeline import compile_graph
from tracegrad.rewrite.engine import rewrite
from tracegrad.schedule.plan import schedule

LENGTH = 40


def smoothed(u, steps, rates):
    for k in range(steps):
        w = np.pad(u, 1)
        u = u + rates[k % len(rates)] * (w[2:] + w[:-2] - 2.0 * u)
    return np.sum(u * u)


def program_of(steps, rates=(0.1,)):
    graph = tg.jit(lambda u: smoothed(u, steps, rates), compile="never").graph(np.ones(LENGTH))
    done = compile_graph(graph, (graph.inputs[0].id,), native=False)
    return schedule(rewrite(done.graph))


def counted(program, monkeypatch):
    """The texts of a program's parts, and how many of them were written."""
    written = []

    def lowered(*arguments):
        written.append(arguments)
        return lower_part(*arguments)

    monkeypatch.setattr(alike, "lower_part", lowered)
    texts = alike.PartTexts(program)
    return [texts.of(kernel) for kernel in program.kernels], len(written)


def test_an_unrolled_loop_is_written_once(monkeypatch):
    few, many = (counted(program_of(steps), monkeypatch) for steps in (5, 25))
    assert len(many[0]) > len(few[0]) + 30
    assert many[1] == few[1]


def test_numbers_do_not_make_kernels_different_but_stand_in_their_own_words(monkeypatch):
    program = program_of(6, rates=(0.1, 0.2))
    texts, _ = counted(program, monkeypatch)
    assert texts == [lower_part(program, kernel) for kernel in program.kernels]
    numbers = {float(slot.value) for text in texts for slot in text.slots if slot.kind == "number"}
    assert {0.1, 0.2} <= numbers


def test_a_text_of_another_kernel_is_found_out():
    program = program_of(6)
    launches = generate(program).launches
    texts = {launch.kernel: launch.text for launch in launches}
    alike.verify_texts(program, texts)
    first, second = [k for k, text in texts.items() if text.source == launches[1].text.source][:2]
    texts[second] = dataclasses.replace(texts[first], source=texts[second].source)
    with pytest.raises(AssertionError, match="took the text of another"):
        alike.verify_texts(program, texts)
