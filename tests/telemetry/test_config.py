"""A `fleet.toml` is read whole, or its mistake is told in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenhertz.errors import UserError
from tenhertz.telemetry.config import address, data_dir, load_fleet, store_url

GOOD = '[fleet]\nname = "nordic"\n[[source]]\nmatch = "home-*"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "fleet.toml"
    path.write_text(text)
    return path


def test_the_least_that_is_needed(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    config = load_fleet(path)
    assert (config.store.kind, config.mqtt, config.grpc) == ("embedded", None, None)
    assert address(config.http.listen) == ("127.0.0.1", 8071)
    assert data_dir(config, path) == tmp_path / "var"


MISTAKES: dict[str, tuple[str, str]] = {
    "an unknown key": (GOOD + "[spool]\nsync_sm = 5\n", "sync_sm.*sync_ms"),
    "an unknown table": (GOOD + "[sppol]\n", "sppol"),
    "a fleet without a name": ('[[source]]\nmatch = "*"\n', "fleet"),
    "a name with a slash": (GOOD.replace("nordic", "a/b"), r"fleet.name 'a/b'"),
    "a server with a wildcard": (
        GOOD.replace('"nordic"\n', '"n"\nserver = "s#"\n'),
        "fleet.server 's#'",
    ),
    "nobody who may send": ('source = []\n[fleet]\nname = "n"\n', r"no \[\[source\]\]"),
    "a token that is no digest": (GOOD + 'token_sha256 = "abc"\n', "'home-\\*'.*64 hexadecimal"),
    "a port that is none": (GOOD + '[http]\nlisten = "127.0.0.1:99999"\n', "http.listen"),
    "no port": (GOOD + '[grpc]\nlisten = "127.0.0.1"\n', "grpc.listen"),
    "open to all without a certificate": (
        GOOD + '[grpc]\nlisten = "0.0.0.0:8072"\n',
        "grpc.listen.*cert_file",
    ),
    "a certificate without its key": (
        GOOD + '[http]\nlisten = "0.0.0.0:1"\ncert_file = "c.pem"\n',
        "cert_file and key_file",
    ),
    "a partition that is none": (GOOD + "[mqtt]\npartitions = [64]\n", "partitions"),
    "a spool of nothing": (GOOD + "[spool]\nlargest_mb = 0\n", "largest_mb"),
    "a number that is none": (GOOD + "[store]\ncommit_s = nan\n", "commit_s"),
    "another store": (GOOD + '[store]\nkind = "csv"\n', "kind"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_file_and_place(tmp_path: Path, name: str) -> None:
    text, told = MISTAKES[name]
    path = written(tmp_path, text)
    with pytest.raises(UserError, match=f"(?s){told}") as caught:
        load_fleet(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_first_source_that_matches_counts(tmp_path: Path) -> None:
    text = GOOD + 'rules = ["lfp"]\n[[source]]\nmatch = "home-1"\n[[source]]\nmatch = "gate"\n'
    config = load_fleet(written(tmp_path, text))
    found = config.source_of("home-1")
    assert found is not None
    assert found.rules == ("lfp",)
    assert config.source_of("gate") is config.source[2]
    assert config.source_of("Home-1") is None
    assert config.source_of("gate-2") is None


def test_the_url_of_the_store_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, GOOD + '[store]\nkind = "postgresql"\nurl_env = "TH_TEST_URL"\n')
    config = load_fleet(path)
    monkeypatch.delenv("TH_TEST_URL", raising=False)
    with pytest.raises(UserError, match="TH_TEST_URL is not set"):
        store_url(config, path)
    monkeypatch.setenv("TH_TEST_URL", "postgresql://there")
    assert store_url(config, path) == "postgresql://there"
    path = written(tmp_path, GOOD + '[store]\nkind = "postgresql"\nurl_file = "url"\n')
    config = load_fleet(path)
    with pytest.raises(UserError, match="url_file"):
        store_url(config, path)
    (tmp_path / "url").write_text("postgresql://here\n")
    assert store_url(config, path) == "postgresql://here"
