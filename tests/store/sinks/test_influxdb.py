import gzip
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Event, Thread

import pytest

from tenhertz.errors import UserError
from tenhertz.store.sinks.courier import Courier, RefusedError, TroubleError
from tenhertz.store.sinks.influxdb import LineCarrier
from tenhertz.store.sinks.queue import FrameQueue

from .frames import cells, samples
from .line_protocol import Point, read


class Database(HTTPServer):
    """Takes lines, or answers as it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.points: list[Point] = []
        self.paths: list[str] = []
        self.tokens: list[str | None] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.hold: Event | None = None
        self.reached = Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that cuts the line is part of the tests."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Database
    timeout = 5  # a client that keeps its line open holds up nobody for ever

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.reached.set()
        if self.server.hold:
            self.server.hold.wait(20)
        self.server.paths.append(self.path)
        self.server.tokens.append(self.headers.get("Authorization"))
        status, headers = self.server.answers.pop(0) if self.server.answers else (204, {})
        if status == 204:
            assert self.headers["Content-Encoding"] == "gzip"
            self.server.points += read(gzip.decompress(body))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        text = b"" if status == 204 else b'{"error":"said why"}'
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def database() -> Iterator[Database]:
    with Database() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        if server.hold:
            server.hold.set()
        server.shutdown()
        thread.join()


def silent(_: str) -> None:
    raise AssertionError("nothing to report")


def test_rows_arrive_with_their_values(database: Database) -> None:
    carrier = LineCarrier(database.url, "fleet", "secret")

    assert carrier.carry([samples(4), cells(2)], silent) == 0
    assert carrier.carry([samples(3, first=5)], silent) == 0
    carrier.end()

    assert [point.fields["sequence"] for point in database.points] == [1, 2, 3, 4, 1, 2, 5, 6, 7]
    assert {point.measurement for point in database.points} == {"sample", "cell"}
    assert database.paths == ["/write?db=fleet&precision=ns"] * 2
    assert database.tokens == ["Token secret"] * 2


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/", "/write?db=fleet&precision=ns"),
        ("/api/v2/write?org=acme", "/api/v2/write?org=acme&bucket=fleet&precision=ns"),
        ("/influx/write?db=other", "/influx/write?db=other&precision=ns"),
    ],
)
def test_the_url_says_where_to(database: Database, path: str, asked: str) -> None:
    carrier = LineCarrier(database.url + path, "fleet")
    carrier.carry([samples(1)], silent)
    carrier.end()

    assert database.paths == [asked]
    assert database.tokens == [None]


@pytest.mark.parametrize(
    "url", ["", "influx:8086", "ftp://host", "http://", "http://h:x", "http://[", "http://u:p@h"]
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="such as http://host:8086"):
        LineCarrier(url, "fleet")


@pytest.mark.parametrize("status", [400, 413, 422])
def test_lines_that_will_never_be_taken_are_refused(database: Database, status: int) -> None:
    database.answers = [(status, {})]
    carrier = LineCarrier(database.url, "fleet")

    with pytest.raises(RefusedError, match=f"{status}.*said why"):
        carrier.carry([samples(1)], silent)
    carrier.carry([samples(1)], silent)
    carrier.end()
    assert len(database.points) == 1


@pytest.mark.parametrize("status", [302, 401, 404, 429, 500, 503])
def test_other_answers_are_trouble(database: Database, status: int) -> None:
    database.answers = [(status, {"Retry-After": "7"})]
    carrier = LineCarrier(database.url, "fleet")

    with pytest.raises(TroubleError, match=str(status)) as trouble:
        carrier.carry([samples(1)], silent)
    carrier.end()
    assert trouble.value.delay_s == 7


@pytest.mark.parametrize(("said", "delay_s"), [("100000", 60), ("Fri, 31 Dec", 0), ("-1", 0)])
def test_a_pause_asked_for_is_bounded(database: Database, said: str, delay_s: float) -> None:
    database.answers = [(503, {"Retry-After": said})]
    carrier = LineCarrier(database.url, "fleet")

    with pytest.raises(TroubleError) as trouble:
        carrier.carry([samples(1)], silent)
    carrier.end()
    assert trouble.value.delay_s == delay_s


def test_nobody_there_is_trouble(database: Database) -> None:
    database.server_close()

    with pytest.raises(TroubleError):
        LineCarrier(database.url, "fleet").carry([samples(1)], silent)


@pytest.mark.slow
def test_rows_wait_out_an_outage(database: Database) -> None:
    database.answers = [(503, {})] * 3
    courier = Courier("influxdb", LineCarrier(database.url, "fleet"), first_delay_s=0.001)
    courier.offer([samples(5)])
    while courier.counts()["waiting_rows"]:
        database.reached.wait(0.001)
    courier.close()

    assert len(database.points) == 5
    assert courier.counts()["failures"] == 3
    assert courier.counts()["sent_rows"] == 5


def test_a_database_that_stalls_costs_the_oldest_rows_only(database: Database) -> None:
    database.hold = Event()
    carrier = LineCarrier(database.url, "fleet")
    courier = Courier("influxdb", carrier, FrameQueue(limit_rows=20))
    courier.offer([samples(10, first=1)])
    assert database.reached.wait(10)

    courier.offer([samples(5, first=first) for first in range(11, 41, 5)])
    database.hold.set()
    courier.close(10)

    sequences = [point.fields["sequence"] for point in database.points]
    assert sequences == [*range(1, 11), *range(31, 41)]
    assert courier.counts()["dropped_rows"] == 20


def test_closing_does_not_wait_for_a_database_that_stalls(database: Database) -> None:
    database.hold = Event()
    courier = Courier("influxdb", LineCarrier(database.url, "fleet"))
    courier.offer([samples(10)])
    assert database.reached.wait(10)

    courier.close(0.01)

    assert courier.counts()["dropped_rows"] == 10
    assert courier.counts()["waiting_rows"] == 0
