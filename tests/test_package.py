"""The installed package and its metadata agree."""

from importlib.metadata import version
from importlib.resources import files

import tracegrad


def test_version_matches_the_metadata():
    assert tracegrad.__version__ == version("tracegrad")


def test_ships_its_types():
    assert files("tracegrad").joinpath("py.typed").is_file()
