import io
import json
from collections.abc import Iterator

import pyarrow as pa
import pytest

from tenhertz.errors import UserError
from tenhertz.store.sinks.courier import Courier, TroubleError
from tenhertz.store.sinks.kafka import ARROW, JSON, KafkaCarrier, messages, settings_of

from .frames import cells, events, samples

kafka = pytest.importorskip("confluent_kafka")

MOCK = {"test.mock.num.brokers": "1"}


def test_messages_are_bounded_and_hold_every_row() -> None:
    frame = samples(8000)

    parts = list(messages(frame))

    assert len(parts) > 1
    assert max(len(part.value) for part in parts) <= 500_000
    rows = [json.loads(line) for part in parts for line in part.value.splitlines()]
    assert [row["sequence"] for row in rows] == frame.sequence.tolist()
    assert sum(part.rows for part in parts) == 8000
    assert {part.content_type for part in parts} == {JSON}


def test_messages_of_cells_are_bounded_and_hold_every_row() -> None:
    frame = cells(900, width=400)

    parts = list(messages(frame))

    assert len(parts) > 1
    assert max(len(part.value) for part in parts) <= 550_000
    tables = [pa.ipc.open_stream(io.BytesIO(part.value)).read_all() for part in parts]
    assert pa.concat_tables(tables)["sequence"].to_pylist() == frame.sequence.tolist()
    assert {part.content_type for part in parts} == {ARROW}


def test_the_properties_of_a_client_become_settings() -> None:
    text = "# theirs\nsecurity.protocol=SASL_SSL\n\n sasl.password = a=b \n"

    assert settings_of(text) == {"security.protocol": "SASL_SSL", "sasl.password": "a=b"}
    with pytest.raises(UserError, match="line 2"):
        settings_of("a=b\nwrong\n")


@pytest.mark.parametrize(
    ("servers", "extra", "mistake"),
    [("", {}, "servers is empty"), ("h:9092", {"no.such": "x"}, "does not take the settings")],
)
def test_settings_that_cannot_be_are_refused(
    servers: str, extra: dict[str, str], mistake: str
) -> None:
    with pytest.raises(UserError, match=mistake):
        KafkaCarrier(servers, "fleet", extra)


class Reports(list[str]):
    def __call__(self, text: str) -> None:
        self.append(text)


@pytest.fixture
def carrier() -> Iterator[KafkaCarrier]:
    made = KafkaCarrier("", "fleet", MOCK)
    yield made
    made.end()


def consumed(bootstrap: str, topics: list[str], count: int) -> list[object]:
    consumer = kafka.Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "t", "auto.offset.reset": "earliest"}
    )
    found: list[object] = []
    try:
        consumer.assign(
            [
                kafka.TopicPartition(topic, part, 0)
                for topic in topics
                for part in range(len(consumer.list_topics(topic, 10).topics[topic].partitions))
            ]
        )
        for _ in range(400):
            if len(found) == count:
                break
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                found.append(message)
    finally:
        consumer.close()
    return found


def bootstrap_of(carrier: KafkaCarrier) -> str:
    brokers = carrier._producer.list_topics(timeout=10).brokers.values()
    return ",".join(f"{broker.host}:{broker.port}" for broker in brokers)


@pytest.mark.slow
def test_rows_arrive_under_their_topic_and_key(carrier: KafkaCarrier) -> None:
    reports = Reports()

    assert carrier.carry([samples(4), cells(2), events(["a"])], reports) == 0

    bootstrap = bootstrap_of(carrier)
    found = consumed(bootstrap, ["fleet.sample", "fleet.cell", "fleet.event"], 3)
    by_topic = {message.topic(): message for message in found}
    assert {message.key() for message in found} == {b"north"}
    lines = by_topic["fleet.sample"].value().splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == [1, 2, 3, 4]
    assert by_topic["fleet.cell"].headers() == [("content-type", ARROW.encode())]
    assert json.loads(by_topic["fleet.event"].value())["text"] == "a"
    assert reports == []


@pytest.mark.slow
def test_a_row_that_is_too_long_is_refused_alone(carrier: KafkaCarrier) -> None:
    reports = Reports()

    refused = carrier.carry([events(["short", "x" * 2_000_000, "also short"])], reports)

    assert refused == 1
    assert len(reports) == 1
    assert "TOO_LARGE" in reports[0]


@pytest.mark.slow
def test_a_failed_delivery_is_counted() -> None:
    # What a broker refuses comes back as a delivery with an error: here, after a time too short.
    settings = {"message.timeout.ms": "100"}
    courier = Courier("kafka", KafkaCarrier("127.0.0.1:1", "fleet", settings))
    courier.offer([samples(3)])
    while courier.counts()["waiting_rows"]:
        courier._thread.join(0.01)
    courier.close()

    assert courier.counts()["refused_rows"] == 3
    assert courier.counts()["sent_rows"] == 0
    assert courier.counts()["failures"] >= 1


class FatalOnce:
    """A library whose first producer loses its place, as a poll or in place of an answer."""

    class KafkaError:
        _FATAL = -150

        def __init__(self, code: int) -> None:
            self._code = code

        def code(self) -> int:
            return self._code

        def fatal(self) -> bool:
            return False

        def name(self) -> str:
            return "_FATAL"

        str = name

    class KafkaException(Exception):  # noqa: N818 - theirs
        pass

    def __init__(self, where: str) -> None:
        self.where = where
        self.made = 0

    def Producer(self, _settings: object) -> "Lost":  # noqa: N802 - theirs
        self.made += 1
        return Lost(self, self.where if self.made == 1 else "")


class Lost:
    def __init__(self, library: FatalOnce, where: str) -> None:
        self.library = library
        self.where = where
        self.open: list[object] = []

    def fail(self, where: str) -> None:
        if self.where == where:
            raise self.library.KafkaException(self.library.KafkaError(-150))

    def produce(self, *_: object, on_delivery: object, headers: object) -> None:
        self.fail("produce")
        self.open.append(on_delivery)

    def poll(self, _timeout_s: float) -> None:
        self.fail("poll")
        error = self.library.KafkaError(-150) if self.where == "delivery" else None
        while self.open:
            self.open.pop()(error, None)

    def purge(self) -> None:
        pass


@pytest.mark.parametrize("where", ["produce", "poll", "delivery"])
def test_a_producer_that_lost_its_place_is_replaced(where: str) -> None:
    carrier = KafkaCarrier("127.0.0.1:1", "fleet")
    library = FatalOnce(where)
    carrier._kafka = library
    carrier._producer = library.Producer({})

    with pytest.raises(TroubleError, match="_FATAL"):
        carrier.carry([samples(3)], Reports())

    assert carrier.carry([samples(3)], Reports()) == 0
    assert library.made == 2


@pytest.mark.slow
def test_closing_does_not_wait_for_brokers_that_are_away() -> None:
    courier = Courier("kafka", KafkaCarrier("127.0.0.1:1", "fleet"))
    courier.offer([samples(3)])
    while not courier.counts()["failures"]:
        courier._thread.join(0.01)

    courier.close(0.05)

    assert courier.counts()["dropped_rows"] == 3
    courier._thread.join(10)
    assert not courier._thread.is_alive()
