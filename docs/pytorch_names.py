"""Write the table of PyTorch's names into docs/pytorch.md: ``python docs/pytorch_names.py``."""

import inspect
import sys
from pathlib import Path

import tracegrad.eager
import tracegrad.eager.nn.functional
import tracegrad.eager.special

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "pytorch.md"
LISTED = ROOT / "tests" / "surface" / "torch.txt"
BEGIN = "<!-- names: written by docs/pytorch_names.py -->"
END = "<!-- end of names -->"
TITLES = {
    "torch": "Functions of `torch`",
    "Tensor": "Methods of `Tensor`",
    "torch.special": "`torch.special`",
    "torch.linalg": "`torch.linalg`",
    "torch.nn.functional": "`torch.nn.functional`",
}


def found(name):
    """What a name of PyTorch's stands for here, None if it is not there."""
    at = tracegrad.eager
    for part in name.removeprefix("torch.").split("."):
        at = getattr(at, part, None)
    return at


def arguments(function):
    """A function's arguments without their types; "" for what is no function."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ""
    shown = [str(p.replace(annotation=inspect.Parameter.empty)) for p in parameters]
    return ", ".join(shown[1:] if shown[:1] == ["self"] else shown)


def table():
    """The page's generated part."""
    names = LISTED.read_text(encoding="utf-8").split()
    there = sum(found(name) is not None for name in names)
    lines = [BEGIN, "", f"{there} of the {len(names)} names listed in `tests/surface/torch.txt` are there.", ""]
    for space, title in TITLES.items():
        own = [name for name in names if name.rpartition(".")[0] == space]
        lines += [f"### {title}", ""]
        if space == "Tensor":
            methods = [f"`{name.removeprefix('Tensor.')}`" for name in own if found(name) is not None]
            lines += [", ".join(methods) + ".", ""]
        else:
            lines += ["| name | arguments |", "|---|---|"]
            lines += [f"| `{name}` | `{arguments(found(name))}` |" for name in own if found(name) is not None]
            lines += [""]
        missing = [f"`{name}`" for name in own if found(name) is None]
        if missing:
            lines += [f"Not there: {', '.join(missing)}.", ""]
    return "\n".join([*lines, END])


def page(text):
    """The page with its generated part made anew."""
    before, _, rest = text.partition(BEGIN)
    return before + table() + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit()
