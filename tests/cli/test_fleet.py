"""The verbs of the server itself: check, status, keys; and that no mistake ends in a traceback."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest
import trustme

from tenhertz.cli import fleet
from tenhertz.link.signature import load_key, parse_public, public_text
from tenhertz.lock import held
from tenhertz.telemetry.pages import FleetStatus, Lag
from tenhertz.telemetry.writer import WriterStatus

from .fleet_server import CONFIG, Call

WRITER = WriterStatus(2, 1, 8, 100, 400, 0, 3, 0, "", 12.5, {})
STATUS = FleetStatus(
    *(1, 2, True, [], 3, 40, 123_456, 7, 8),
    *({"too old": 2}, {}, {}, 0, 5, Lag(12.0, 80.0), Lag(None, None)),
    *({}, {"critical": 1}, 0, 0, 0, 0.0, 1_500_000, 9, WRITER),
)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return Call(monkeypatch, capsys)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.toml"
    path.write_text(CONFIG)
    (tmp_path / "var").mkdir()
    return path


@contextmanager
def serving(
    config: Path, status: int, body: bytes, context: ssl.SSLContext | None = None
) -> Iterator[int]:
    """What stands for a running server: its lock, its address, and its page."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/status" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    port = server.server_address[1]
    folder = config.parent / "var"
    (folder / "addresses.json").write_text(json.dumps({"http": ["127.0.0.1", port], "x": 1}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        with held(folder / "ingest.lock", "ingest"):
            yield port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


Serving = Callable[..., AbstractContextManager[int]]


def test_the_status_is_that_of_the_running_server(call: Call, config: Path) -> None:
    with serving(config, 200, msgspec.json.encode(STATUS)):
        found = call("status", config, "--json")
        shown = call("status", config)
    assert msgspec.json.decode(found.out, type=FleetStatus) == STATUS
    assert "123456 (7" in shown.out
    assert "p50 12 ms, p99 80 ms" in shown.out
    assert "too old 2" in shown.out
    assert "100, 1 records behind" in shown.out


def test_over_tls_only_the_servers_own_certificate_is_believed(call: Call, config: Path) -> None:
    authority = trustme.CA()
    names = ("own", "other")
    contexts = {}
    for name in names:
        made = authority.issue_cert("fleet.example")
        made.cert_chain_pems[0].write_to_path(config.parent / f"{name}.pem")
        made.private_key_pem.write_to_path(config.parent / f"{name}.key")
        contexts[name] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        made.configure_cert(contexts[name])
    listen = 'listen = "127.0.0.1:0"\ncert_file = "own.pem"\nkey_file = "own.key"\n'
    config.write_text(CONFIG + "[http]\n" + listen)
    with serving(config, 200, msgspec.json.encode(STATUS), contexts["own"]):
        done = call("status", config, "--json")
    assert done.code == 0, done.err
    with serving(config, 200, msgspec.json.encode(STATUS), contexts["other"]):
        done = call("status", config)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "certificate" in done.err.lower()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (500, b"", "500"),
        (200, b"<html>", "no status that this version can read"),
        (200, b"{}", "no status that this version can read"),
    ],
)
def test_an_answer_that_is_no_status_is_one_sentence(
    call: Call, config: Path, status: int, body: bytes, expected: str
) -> None:
    with serving(config, status, body):
        done = call("status", config)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert expected in done.err


def test_a_server_that_does_not_run_is_one_sentence(call: Call, config: Path) -> None:
    with serving(config, 200, msgspec.json.encode(STATUS)):
        pass
    done = call("status", config)  # the address of the last time is still there
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"tenhertz fleet serve {config}" in done.err
    folder = config.parent / "var"
    with held(folder / "ingest.lock", "ingest"):
        done = call("status", config)
    assert "does not answer" in done.err
    with held(folder / "parent.lock", "the server"):
        done = call("status", config)
    assert "is starting" in done.err


def test_check_finds_what_serve_would(call: Call, config: Path) -> None:
    done = call("check", config)
    assert (done.code, done.err) == (0, "")
    assert json.loads(call("check", config, "--json").out)["store"] == "embedded"
    for addition, expected in (
        ('[command]\nkey_file = "none.key"\n', "none.key"),
        ('[store]\nknd = "embedded"\n', "did you mean 'kind'?"),
        ('[http]\nlisten = "0.0.0.0:80"\n', "can be reached from elsewhere"),
    ):
        config.write_text(CONFIG + addition)
        for verb in ("check", "serve"):
            done = call(verb, config)
            assert (done.code, done.err.count("\n")) == (2, 1)
            assert expected in done.err


def test_a_key_is_made_once_and_its_public_half_is_told(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "fleet.key"
    done = call("key", path)
    assert done.code == 0
    public = done.out.split('"')[1]
    parse_public(public)
    assert public == public_text(load_key(path))
    assert path.stat().st_mode & 0o077 == 0
    assert path.read_text().strip() not in done.out
    before = path.read_bytes()
    done = call("key", path)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert path.read_bytes() == before


def test_a_token_is_told_with_what_the_configuration_wants(call: Call) -> None:
    found = json.loads(call("token", "--json").out)
    assert hashlib.sha256(found["token"].encode()).hexdigest() == found["token_sha256"]
    assert len(base64.urlsafe_b64decode(found["token"] + "=")) == 32
    assert call("token").out != call("token").out


def test_a_site_box_without_the_fleets_libraries_is_told_what_to_install(
    call: Call, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "find_spec", lambda name: None if name == "pyarrow" else name)
    done = call("status", config)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "tenhertz[cloud]" in done.err
    assert call("token").code == 0


VERBS = pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("alerts",),
        ("ack", 1, "--who", "x"),
        ("latest",),
        ("range", "s", "e"),
        ("gaps",),
        ("sql", "SELECT 1"),
        ("backup", "copy"),
        ("restore", "copy"),
        ("stop", "site-1"),
    ],
    ids=lambda words: words[0],
)


@VERBS
def test_a_configuration_that_is_not_there_is_one_sentence(
    call: Call, tmp_path: Path, words: tuple[object, ...]
) -> None:
    done = call(words[0], tmp_path / "none.toml", *words[1:])
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "none.toml" in done.err


@VERBS
def test_a_folder_that_is_none_is_one_sentence(
    call: Call, config: Path, words: tuple[object, ...]
) -> None:
    (config.parent / "var").rmdir()
    (config.parent / "var").write_text("not a folder")
    done = call(words[0], config, *words[1:])
    assert done.err.count("\n") <= 1
    # Without a folder there is nothing to see; whoever wants to write or ask hears why not.
    assert done.code == 2 or words[0] in ("alerts", "latest", "range", "gaps", "sql")
