"""One cache folder for the whole test session, outside the user's own."""

import pytest

from tracegrad.config import config


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory):
    """The folder of compiled programs; tests that compile the same program share it."""
    folder = tmp_path_factory.mktemp("kernels", numbered=True)
    folder.chmod(0o700)
    before = config.cache_dir, config.keep_traces, config.verify
    config.cache_dir = folder
    config.verify = True  # graphs are looked at after every stage
    config.keep_traces = False  # tests count traces; those of kept traces set a folder of their own
    yield folder
    config.cache_dir, config.keep_traces, config.verify = before
