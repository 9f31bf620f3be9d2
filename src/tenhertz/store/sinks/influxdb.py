"""Rows to InfluxDB, or whatever takes its line protocol over HTTP: VictoriaMetrics, QuestDB, ...

Not for text search: VictoriaMetrics stores no text fields.
"""

from __future__ import annotations

import contextlib
import gzip
import socket
from collections.abc import Callable, Sequence
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import parse_qsl, urlencode, urlsplit

from tenhertz.errors import UserError
from tenhertz.link.frame import Frame
from tenhertz.store.sinks.courier import RefusedError, TroubleError
from tenhertz.store.sinks.lines import line_protocol

_TIMEOUT_S = 10.0
_LONGEST_WAIT_S = 60.0  # however long the other side asks to be left alone
# Bad lines, too much at once, unprocessable: the same bytes would be refused again.
_NEVER = (400, 413, 422)
_V2 = "/api/v2/write"


class LineCarrier:
    """One kept HTTP connection, one POST a batch, gzip."""

    def __init__(self, url: str, database: str, token: str = "") -> None:
        """`url`: the server, or the server with the path to write to.

        Raises:
            UserError: the URL is none.
        """
        self._path = _write_path(url, database)
        parts = urlsplit(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = kind(str(parts.hostname), parts.port, timeout=_TIMEOUT_S)
        self._headers = {
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Encoding": "gzip",
        }
        if token:
            self._headers["Authorization"] = f"Token {token}"

    def carry(self, frames: Sequence[Frame], report: Callable[[str], None]) -> int:
        """Send frames in one request."""
        del report  # every failure here ends the attempt
        body = gzip.compress(b"".join(map(line_protocol, frames)), compresslevel=1, mtime=0)
        try:
            self._connection.request("POST", self._path, body, self._headers)
            response = self._connection.getresponse()
            said = response.read(500).decode(errors="replace").strip()
            response.read()
        except (OSError, HTTPException) as error:
            self._connection.close()
            raise TroubleError(f"{type(error).__name__}: {error}") from error
        if 200 <= response.status < 300:
            return 0
        text = f"{response.status} {response.reason}: {said}"
        if response.status in _NEVER:
            raise RefusedError(text)
        raise TroubleError(text, _retry_after_s(response))

    def abort(self) -> None:
        """Cut the connection under a request that waits."""
        if (open_socket := self._connection.sock) is not None:
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Close the connection."""
        self._connection.close()


def _write_path(url: str, database: str) -> str:
    """Path and query: those of the URL, with what they do not say: database and precision."""
    mistake = (
        f"sink: url '{url}' must be such as http://host:8086, without a user's name; "
        "a token goes into token_file"
    )
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        raise UserError(mistake) from None
    if not good or parts.username is not None:
        raise UserError(mistake)
    path = parts.path.rstrip("/") or "/write"
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    query.setdefault("bucket" if path.endswith(_V2) else "db", database)
    query["precision"] = "ns"
    return f"{path}?{urlencode(query)}"


def _retry_after_s(response: HTTPResponse) -> float:
    said = response.getheader("Retry-After") or ""
    return min(float(said), _LONGEST_WAIT_S) if said.isdecimal() and said.isascii() else 0.0
