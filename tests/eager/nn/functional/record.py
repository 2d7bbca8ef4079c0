"""Write recorded.json with the PyTorch that is installed: ``python -m tests.eager.nn.functional.record``."""

import json
from pathlib import Path

import numpy as np

from tests.eager.nn.functional.cases import CASES, run

FILE = Path(__file__).with_name("recorded.json")


def digest(array):
    """One number that every element moves."""
    flat = np.asarray(array, np.float64).reshape(-1)
    return float(flat @ np.sin(1.0 + np.arange(flat.size)))


def summary(result):
    out, gradients, name, _ = result
    numbers = [None if g is None else digest(g.detach().numpy()) for g in gradients]
    return {"shape": list(out.shape), "grad_fn": name, "value": digest(out.detach().numpy()), "gradients": numbers}


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    lines = [
        f"{json.dumps(name)}: {json.dumps(summary(run(name, torch.nn.functional, torch.tensor, torch.autograd.grad, float)))}"
        for name in CASES
    ]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
