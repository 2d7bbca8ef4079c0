"""What the demo leaves in its output folder: the loss curves, both graphs and the generated kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import tracegrad as tg
from tracegrad.demo.model import Params, example, loss
from tracegrad.demo.train import Training


def write_losses(training: Training, path: Path) -> None:
    """Draw loss per step and test accuracy per epoch of both modes, and how far their losses are apart."""
    eager, static = training.eager, training.static
    figure = Figure(figsize=(9.0, 6.0), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    steps = np.arange(1, len(eager.losses) + 1)
    above.semilogy(steps, eager.losses, color="#f2b56b", linewidth=4, label="eager, dynamic graph")
    above.semilogy(steps, static.losses, color="#2f4b6e", linewidth=1, label="static graph, compiled")
    above.set(ylabel="training loss", title="One network on handwritten digits, trained twice from the same weights")
    share = above.twinx()
    ends = training.digits.batches_per_epoch * np.arange(1, len(static.accuracies) + 1)
    share.plot(ends, 100.0 * np.array(static.accuracies), "o-", color="#4b9a3c", markersize=4, label="test accuracy")
    share.set(ylabel="test accuracy, %", ylim=(0.0, 101.0))
    lines, names = above.get_legend_handles_labels()
    more, others = share.get_legend_handles_labels()
    share.legend(lines + more, names + others, loc="lower left")
    apart = np.abs(np.array(eager.losses) - np.array(static.losses))
    below.semilogy(steps, np.where(apart > 0.0, apart, np.nan), ".", color="#c9453c", markersize=3)
    below.set(xlabel="step", ylabel="|difference|\nof the losses")
    figure.savefig(path, dpi=110)


def write_graphs(params: Params, forward: Path, backward: Path) -> None:
    """Draw the two halves of the loss's graph; the interpreter's mode has the same graph and compiles nothing."""
    images, labels = example(params["conv1.weight"].dtype)
    graph = tg.grad_compile(compile="never")(loss).graph(params, images, labels)
    graph.forward.svg(forward, title="forward: from images and weights to the loss")
    graph.backward.svg(backward, title="backward: from the loss to the gradient of every weight")


def write_source(step: tg.Compiled[Any, Any], params: Params, state: Any, path: Path) -> None:
    """Write the generated kernels of the training step, each line with its node and the line of the model."""
    images, labels = example(params["conv1.weight"].dtype)
    path.write_text(str(step.source(params, state, images, labels)), encoding="utf-8")
