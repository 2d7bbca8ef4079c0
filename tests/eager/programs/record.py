"""Write recorded.json with the PyTorch that is installed: ``python -m tests.eager.programs.record``."""

import json
from pathlib import Path

from tests.eager.programs.catalogue import PROGRAMS

FILE = Path(__file__).with_name("recorded.json")


def numbers(program, torch):
    """What a program gives, as floats."""
    return [float(x) for x in program(torch)]


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    lines = [f"{json.dumps(name)}: {json.dumps(numbers(program, torch))}" for name, program in PROGRAMS.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
