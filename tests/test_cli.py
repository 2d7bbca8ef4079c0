"""The command line: the demo, the cache folder, and what a person is told when something is missing."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from rich.console import Console

import tracegrad as tg
from tracegrad import cli
from tracegrad.demo import digits, run, train
from tracegrad.demo.model import ADAM, BATCH, eager_step, example, initial, loss, scores, static

PROGRAM = "p_0123456789abcdef"


def main(*arguments):
    """The exit status of a command line; argparse leaves by SystemExit."""
    try:
        return cli.main(arguments)
    except SystemExit as left:
        return left.code


@pytest.fixture
def folder(tmp_path):
    """A cache folder of this test's own, which does not exist yet."""
    path = tmp_path / "kernels"
    with tg.config.override(cache_dir=path):
        yield path


def put_program(folder, name=PROGRAM):
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    (folder / f"{name}.py").write_bytes(b"x" * 1000)
    (folder / f"{name}.o").write_bytes(b"x" * 1000)


# -- cache ------------------------------------------------------------------------------------------------------------


def test_info_of_a_folder_that_does_not_exist_makes_none(folder, capsys):
    assert main("cache", "info") == 0
    out = capsys.readouterr().out
    assert str(folder) in out
    assert re.search(r"programs\s+0\n", out)
    assert not folder.exists()


def test_info_counts_programs_and_bytes(folder, capsys):
    put_program(folder)
    put_program(folder, "p_fedcba9876543210")
    (folder / "notes.txt").write_text("mine")
    assert main("cache", "info") == 0
    out = capsys.readouterr().out
    assert re.search(r"programs\s+2\n", out)
    assert "3.9 KiB of at most 2.0 GiB" in out


def test_clear_removes_programs_and_nothing_else(folder, capsys):
    put_program(folder)
    mine = folder / "notes.txt"
    mine.write_text("mine")
    assert main("cache", "clear") == 0
    assert capsys.readouterr().out == f"removed 1 program, 2.0 KiB, from {folder}\n"
    assert [path for path in folder.rglob("*") if path.is_file()] == [mine]
    assert main("cache", "clear") == 0
    assert "removed 0 programs, 0 bytes" in capsys.readouterr().out


def test_clear_where_there_is_no_folder(folder, capsys):
    assert main("cache", "clear") == 0
    assert "removed 0 programs" in capsys.readouterr().out
    assert not folder.exists()


@pytest.mark.parametrize("action", ["info", "clear"])
def test_a_folder_that_is_a_file(folder, action, capsys):
    folder.write_text("a file")
    assert main("cache", action) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"cache folder {folder} cannot be used" in captured.err
    assert "TRACEGRAD_CACHE_DIR" in captured.err
    assert folder.read_text() == "a file"


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners of files are a matter of POSIX")
def test_a_folder_that_others_can_write_to_is_left_alone(folder, capsys):
    put_program(folder)
    folder.chmod(0o777)
    assert main("cache", "clear") == 1
    assert "other users can write to it" in capsys.readouterr().err
    assert (folder / f"{PROGRAM}.py").exists()


def test_a_compiled_program_is_counted_and_cleared(folder, capsys):
    # a program that no other test has in memory already
    assert tg.jit(lambda x: np.cosh(np.arctan(3.0 * x)) - np.cosh(np.arctan(3.0 * x[::-1])))(np.ones(2)).tolist() == [0.0, 0.0]
    assert main("cache", "info") == 0
    assert re.search(r"programs\s+1\n", capsys.readouterr().out)
    assert main("cache", "clear") == 0
    assert "removed 1 program," in capsys.readouterr().out


# -- the command line -------------------------------------------------------------------------------------------------


def test_version(capsys):
    assert main("--version") == 0
    assert capsys.readouterr().out == f"tracegrad {tg.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "command"),
        (("cache",), "action"),
        (("train",), "invalid choice"),
        (("demo", "--epochs", "0"), "0 is not 1 or more"),
        (("demo", "--epochs", "many"), "invalid int value: 'many'"),
        (("demo", "--dtype", "float16"), "invalid choice"),
    ],
)
def test_a_wrong_command_line(arguments, said, capsys):
    assert main(*arguments) == 2
    assert said in capsys.readouterr().err


def test_interruption(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run", interrupted)
    assert main("demo") == 130
    assert capsys.readouterr().err == "tracegrad: interrupted\n"


# -- demo -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("absent", "names"),
    [
        ({"sklearn"}, "scikit-learn, which is"),
        ({"matplotlib"}, "matplotlib, which is"),
        ({"sklearn", "matplotlib"}, "scikit-learn and matplotlib, which are"),
    ],
)
def test_missing_packages_are_named(absent, names, monkeypatch, capsys):
    known = cli.importlib.util.find_spec
    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda name: None if name in absent else known(name))
    assert main("demo") == 1
    assert capsys.readouterr().err == (
        f'tracegrad: the demo needs {names} not installed\n  pip install "tracegrad[examples]"\n'
    )


def test_the_command_line_needs_no_optional_package():
    code = "import sys, tracegrad.cli; print([m for m in ('sklearn', 'matplotlib', 'numba') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_output_folder_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "taken").write_text("a file")
    assert main("demo", "--output", str(tmp_path / "taken")) == 1
    err = capsys.readouterr().err
    assert str(tmp_path / "taken") in err
    assert "--output" in err


def test_the_split_is_fixed_and_shares_no_image():
    data = digits.load("float64")
    assert data.images.shape == (1437, 1, 8, 8)
    assert data.test_images.shape == (360, 1, 8, 8)
    assert (data.images.min(), data.images.max()) == (0.0, 1.0)
    assert np.array_equal(data.test_labels, digits.load("float32").test_labels)
    seen = {image.tobytes() for image in data.images}
    assert not any(image.tobytes() in seen for image in data.test_images)


def test_every_batch_has_one_shape():
    data = digits.load("float32")
    batches = list(data.batches(np.random.default_rng(0)))
    assert len(batches) == data.batches_per_epoch == 22
    assert {(images.shape, labels.shape) for images, labels in batches} == {((BATCH, 1, 8, 8), (BATCH,))}


def one_epoch(mode, dtype="float64", epochs=1):
    data = digits.load(dtype)
    training = train.Training.begin(data, initial(dtype, 0))
    rng = np.random.default_rng(0)
    for _ in range(epochs):
        for _ in training.epoch(eager_step, mode.step, rng):
            pass
    return training


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_both_modes_agree_on_the_interpreter(dtype):
    training = one_epoch(static("never"), dtype)
    assert len(training.eager.losses) == 22
    assert training.eager.losses[-1] < 0.5 * training.eager.losses[0]
    assert all(check.passed for check in run.checks(training, dtype))
    assert training.eager.params["conv1.weight"].dtype == training.static.params["conv1.weight"].dtype == dtype


def test_a_step_that_differs_is_found_out(capsys):
    mode = static("never")

    def wrong(params, state, images, labels):
        value, params, state = mode.step(params, state, images, labels)
        return value * (1.0 + 1e-8), params, state

    training = train.Training.begin(digits.load("float64"), initial("float64", 0))
    next(training.epoch(eager_step, wrong, np.random.default_rng(0)))
    console = Console(width=200)
    assert run._agreement(training, "float64", console) is False
    assert "TOO LARGE" in capsys.readouterr().out
    assert not run.Check("loss", float("nan"), 1e-9).passed


def test_the_model_is_the_same_for_arrays_and_tensors():
    params = initial("float64", 1)
    images, labels = example("float64")
    images = images + np.random.default_rng(0).random(images.shape)
    value = loss({name: tg.tensor(p) for name, p in params.items()}, tg.tensor(images), tg.tensor(labels))
    assert np.isclose(value.item(), loss(params, images, labels), rtol=1e-13)
    assert scores(params, images).shape == (BATCH, 10)


def demo(folder, cache, *more):
    environment = {**os.environ, "TRACEGRAD_CACHE_DIR": str(cache), "COLUMNS": "120"}
    command = [sys.executable, "-c", "import sys; from tracegrad.cli import main; sys.exit(main())", "demo"]
    return subprocess.run(
        [*command, "--epochs", "1", "--output", str(folder), *more],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def test_the_demo_compiles_once_and_starts_from_the_cache_then(tmp_path, session_cache):
    first = demo(tmp_path / "out", session_cache)
    assert first.returncode == 0, first.stderr
    second = demo(tmp_path / "out", session_cache)
    assert second.returncode == 0, second.stderr
    assert "Compiled the static training step" in first.stdout
    assert "Nothing was compiled" in second.stdout
    for done in (first, second):
        assert "compiled again" not in done.stdout
        assert "TOO LARGE" not in done.stdout
        apart = re.search(r"loss, each training by itself +(\S+)", done.stdout)
        assert float(apart[1]) <= 1e-9
        losses = re.search(r"epoch  1 +eager loss (\S+) test (\S+) % +static loss (\S+) test (\S+) %", done.stdout)
        assert losses.group(1, 2) == losses.group(3, 4)
        for row in ("warm start", "median training step", "ratio"):
            assert row in done.stdout
    for stage in ("│ trace ", "│ differentiate "):  # the second run finds its trace in the cache, too
        assert stage in first.stdout
        assert stage not in second.stdout
    check_files(tmp_path / "out")


def check_files(folder: Path):
    assert sorted(path.name for path in folder.iterdir()) == ["backward.svg", "forward.svg", "kernels.py", "loss.png"]
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    for half in ("forward", "backward"):
        text = (folder / f"{half}.svg").read_text(encoding="utf-8")
        assert ET.fromstring(text).tag.endswith("svg")
        assert ("conv2d_weight_gradient" in text) == (half == "backward")
        assert "model.py" in text  # the tooltips name the user's line
    source = (folder / "kernels.py").read_text(encoding="utf-8")
    compile(source, "kernels.py", "exec")
    assert "@kernel" in source
    assert 'params["conv2.weight"]' in source


def test_the_network_reaches_97_percent():
    """The compiled step on its own, for as long as the demo trains by default."""
    data, params = digits.load("float64"), initial("float64", 0)
    state, step, rng = ADAM.init(params), static().step, np.random.default_rng(0)
    for _ in range(cli.EPOCHS):
        for images, labels in data.batches(rng):
            _, params, state = step(params, state, images, labels)
    assert train.accuracy(params, data) >= 0.97


def test_float32_demo_on_the_interpreter(tmp_path, capsys):
    assert main("demo", "--epochs", "1", "--output", str(tmp_path), "--dtype", "float32", "--compile", "never") == 0
    out = capsys.readouterr().out
    assert "float32" in out
    assert "warm start" not in out
    assert not (tmp_path / "kernels.py").exists()


def test_the_warm_start_says_what_it_measured(monkeypatch, session_cache):
    told = {"seconds": 1.5, "loading": 0.25, "compiles": 0}
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, json.dumps(told) + "\n", "")
    )
    assert cli.importlib.import_module("tracegrad.demo.warm").measure_in_new_process("float64").loading == 0.25
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", "it broke"))
    with pytest.raises(RuntimeError, match="it broke"):
        cli.importlib.import_module("tracegrad.demo.warm").measure_in_new_process("float64")
