"""The text of generated kernels, compared with files that people read: a change of the generator shows what it changes.

``python -m tests.codegen.test_golden`` writes the files anew; read the difference before you commit it.
"""

import re
from pathlib import Path

import numpy as np
import pytest

import tracegrad as tg
from tracegrad.autodiff.reverse import differentiate
from tracegrad.codegen.render import generate
from tracegrad.core.aval import aval_of
from tracegrad.core.tree import flatten
from tracegrad.rewrite.engine import rewriting
from tracegrad.schedule.plan import schedule
from tracegrad.trace.tracer import Argument, trace

FOLDER = Path(__file__).parent / "golden"


def chain(x):
    return np.sum(np.tanh(1.5 * x + 0.3) ** 2 * np.exp(-x * x))


def softmax_cross_entropy(logits, labels):
    return tg.functional.cross_entropy(logits, labels)


def layer_norm(x, weight, bias):
    return np.sum(tg.functional.layer_norm(x, weight, bias) ** 2)


def shares(x):
    y = np.exp(x)
    return y / np.sum(y)


def adam_update(grads, state, params):
    return tg.optim.adam(1e-3).update(grads, state, params)


def cnn_parameters(dtype=np.float32):
    """Parameters of the demo's shapes: two convolutions and a dense layer."""
    shapes = {
        "conv1": {"w": (16, 1, 3, 3), "b": (16,)},
        "conv2": {"w": (32, 16, 3, 3), "b": (32,)},
        "dense": {"w": (512, 10), "b": (10,)},
    }
    return {layer: {name: np.ones(shape, dtype) for name, shape in of.items()} for layer, of in shapes.items()}


def adam_arguments():
    params = cnn_parameters()
    return params, tg.optim.adam(1e-3).init(params), params


# name: function, its arguments, leaves to differentiate with respect to (None: the values alone), launches at most
PROGRAMS = {
    "chain": (chain, (np.ones(1000),), (0,), 1),
    "softmax_cross_entropy": (softmax_cross_entropy, (np.ones((8, 10)), np.zeros(8, np.int64)), (0,), 3),
    "layer_norm": (layer_norm, (np.ones((8, 24)), np.ones(24), np.ones(24)), (0, 1, 2), 3),
    "adam_update": (adam_update, adam_arguments(), None, 2),
}


def compiled(name, resize=lambda x: x):
    """The scheduled program and its text, as the pipeline makes them; no Numba is involved."""
    function, arguments, wrt, _ = PROGRAMS[name]
    leaves, tree = flatten((tuple(resize(a) for a in arguments), {}))
    entries = [Argument(f"a{k}", aval_of(leaf)) for k, leaf in enumerate(leaves)]
    graph = trace(function, tree, entries).graph
    if wrt is not None:
        graph = differentiate(graph, [graph.inputs[k].id for k in wrt])
    program = schedule(rewriting(graph).graph)
    return program, generate(program)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_text_is_the_golden_one(name):
    _, generated = compiled(name)
    assert generated.source == (FOLDER / f"{name}.py").read_text("utf-8"), "see this module's docstring"


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_number_of_kernels(name):
    _, generated = compiled(name)
    launched = re.findall(r"launch\(k\d+(?:_parts)?_HASH_,", generated.source)
    assert generated.kernels <= len(launched) <= PROGRAMS[name][3]


@pytest.mark.parametrize("name", ["chain", "softmax_cross_entropy"])
def test_the_text_does_not_depend_on_the_batch_size(name):
    texts = {compiled(name, lambda x, n=n: np.repeat(x, n, axis=0))[1].source for n in (1, 3, 100)}
    assert len(texts) == 1


def test_the_text_is_the_same_every_time():
    assert compiled("layer_norm")[1].source == compiled("layer_norm")[1].source


def test_explain_gives_a_reason_for_every_fusion_not_made():
    leaves, tree = flatten(((np.ones(9),), {}))
    graph = trace(shares, tree, [Argument("x", aval_of(leaf)) for leaf in leaves]).graph
    program = schedule(rewriting(graph).graph)
    homes = {n: k for k, kernel in enumerate(program.kernels) if kernel.part for n in kernel.part.nodes}
    told = {(u.producer, u.consumer) for u in program.unfused}
    assert all(u.reason for u in program.unfused)
    apart = [(i, n.id) for n in program.graph for i in n.inputs if i in homes and n.id in homes and homes[i] != homes[n.id]]
    assert apart
    assert set(apart) <= told


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for title in PROGRAMS:
        (FOLDER / f"{title}.py").write_text(compiled(title)[1].source, "utf-8")
