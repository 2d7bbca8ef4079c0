"""Settings: checked, scoped to a context, never half changed."""

import threading
from pathlib import Path

import pytest

from tracegrad.config import Config


def test_a_path_may_be_a_string(tmp_path):
    settings = Config()
    settings.cache_dir = str(tmp_path)
    assert settings.cache_dir == tmp_path
    assert isinstance(settings.cache_dir, Path)


def test_the_environment_says_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("TRACEGRAD_CACHE_DIR", str(tmp_path / "kernels"))
    assert Config().cache_dir == tmp_path / "kernels"


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("cache_dir", 3, TypeError),
        ("cache_limit_bytes", -1, ValueError),
        ("cache_limit_bytes", "1G", TypeError),
        ("threads", 0, ValueError),
        ("threads", True, TypeError),
        ("verify", 1, TypeError),
        ("fastmath", True, AttributeError),
    ],
)
def test_bad_values_change_nothing(name, value, error):
    settings = Config()
    before = settings.snapshot()
    with pytest.raises(error, match=name):
        setattr(settings, name, value)
    with pytest.raises(error, match=name), settings.override(**{name: value}):
        pytest.fail("the block must not run")
    assert settings.snapshot() == before


def test_overrides_nest_and_end_with_an_error():
    settings = Config()
    with pytest.raises(KeyError), settings.override(threads=3), settings.override(verify=True):
        assert (settings.threads, settings.verify) == (3, True)
        raise KeyError
    assert (settings.threads, settings.verify) == (None, False)


def test_an_override_is_not_seen_by_other_threads():
    settings = Config()
    seen = []
    with settings.override(threads=1):
        other = threading.Thread(target=lambda: seen.append(settings.threads))
        other.start()
        other.join()
    assert seen == [None]


def test_snapshots_are_hashable():
    settings = Config()
    with settings.override(threads=2):
        assert hash(settings.snapshot()) == hash(settings.snapshot())
        assert settings.snapshot().threads == 2
