"""Rows to Kafka: a topic a kind, the source as the key, some rows a message.

Samples, ticks, events and losses are lines of JSON; cells are Arrow IPC streams. Within the
producer's life each message arrives once and in order; a restart of it may repeat some: stream
and sequence tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Event
from typing import Any, NamedTuple

from tenhertz.errors import UserError
from tenhertz.link.frame import Frame
from tenhertz.link.points import Kind
from tenhertz.store.sinks.courier import TroubleError
from tenhertz.store.sinks.lines import arrow_stream, json_lines
from tenhertz.store.sinks.queue import size_bytes

_MESSAGE_BYTES = 500_000  # half of what a broker takes as it comes
_POLL_S = 0.1
JSON = "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"


class Message(NamedTuple):
    """Some rows of a frame, ready to go."""

    value: bytes
    rows: int
    content_type: str


def messages(frame: Frame) -> Iterator[Message]:
    """A frame as messages of half a megabyte or less; a single row may be longer."""
    if frame.kind is Kind.CELL:
        # Numbers on the wire are int16 as a rule and become float32.
        each = max(1, _MESSAGE_BYTES // max(1, 2 * size_bytes(frame) // frame.rows))
        for start in range(0, frame.rows, each):
            part = frame.take(slice(start, start + each))
            yield Message(arrow_stream(part), part.rows, ARROW)
        return
    waiting: list[bytes] = []
    size = 0
    for line in json_lines(frame):
        if waiting and size + len(line) > _MESSAGE_BYTES:
            yield Message(b"".join(waiting), len(waiting), JSON)
            waiting, size = [], 0
        waiting.append(line)
        size += len(line)
    if waiting:
        yield Message(b"".join(waiting), len(waiting), JSON)


class KafkaCarrier:
    """A producer that waits for the brokers to confirm a batch before it takes the next."""

    def __init__(self, servers: str, database: str, extra: dict[str, str] | None = None) -> None:
        """`servers`: host:port, separated by commas. `extra`: settings of librdkafka besides.

        Raises:
            UserError: the library is not installed, or does not take the settings.
        """
        try:
            import confluent_kafka
        except ImportError as error:
            raise UserError(
                "sink: kafka needs the library confluent-kafka; install tenhertz[kafka]"
            ) from error
        if not servers and not extra:
            raise UserError("sink: servers is empty; name the Kafka brokers as host:port, ...")
        self._kafka: Any = confluent_kafka
        self._database = database
        self._aborted = Event()
        self._report: Callable[[str], None] = _nobody
        self._open = 0  # messages without an answer
        self._refused = 0  # rows
        self._fatal = ""  # an idempotent producer that lost its place can send no more
        self._settings: dict[str, Any] = {
            "bootstrap.servers": servers,
            "client.id": "tenhertz",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 5,
            "message.timeout.ms": 0,  # it tries for as long as it takes: the queue has the bound
            "error_cb": self._on_error,
            "log_level": 0,  # the same errors come to error_cb
            **(extra or {}),
        }
        self._producer: Any = self._new_producer()

    def _on_error(self, error: Any) -> None:
        if self._is_fatal(error):
            self._fatal = _words(error)
        else:
            self._report(_words(error))

    def _is_fatal(self, error: Any) -> bool:
        return bool(error.fatal() or error.code() == self._kafka.KafkaError._FATAL)  # noqa: SLF001

    def _new_producer(self) -> Any:
        try:
            return self._kafka.Producer(self._settings)
        except self._kafka.KafkaException as error:
            text = error.args[0].str()
            raise UserError(f"sink: kafka does not take the settings: {text}") from error

    def carry(self, frames: Sequence[Frame], report: Callable[[str], None]) -> int:
        """Send frames and wait for the brokers to have them."""
        self._open = self._refused = 0
        self._report = report
        for frame in frames:
            topic = f"{self._database}.{frame.kind.name.lower()}"
            for message in messages(frame):
                self._produce(topic, frame.source.encode(), message)
        while self._open:
            self._poll()
        return self._refused

    def _produce(self, topic: str, key: bytes, message: Message) -> None:
        producer = self._producer

        def on_delivery(error: Any, _message: Any) -> None:
            if producer is not self._producer:  # one that was given up
                return
            self._open -= 1
            if error is not None:
                self._refuse(error, message.rows)

        headers = {"content-type": message.content_type}
        while True:
            try:
                producer.produce(
                    topic, message.value, key, on_delivery=on_delivery, headers=headers
                )
            except BufferError:  # the library's own queue is full
                self._poll()
            except self._kafka.KafkaException as error:
                self._refuse(error.args[0], message.rows)
                self._raise_if_fatal()
                return
            else:
                self._open += 1
                return

    def _refuse(self, error: Any, rows: int) -> None:
        if self._is_fatal(error):
            self._fatal = _words(error)
        else:
            self._report(_words(error))
            self._refused += rows

    def _poll(self) -> None:
        """Let the library call back.

        Raises:
            TroubleError: the producer had to be given up; what it was given may have arrived.
        """
        try:
            self._producer.poll(_POLL_S)
        except self._kafka.KafkaException as error:  # so it tells what is fatal
            self._fatal = _words(error.args[0])
        if self._aborted.is_set():
            raise TroubleError("ended before the brokers had confirmed")
        self._raise_if_fatal()

    def _raise_if_fatal(self) -> None:
        if self._fatal:
            text, self._fatal = self._fatal, ""
            given_up, self._producer = self._producer, self._new_producer()
            given_up.purge()
            raise TroubleError(text)

    def abort(self) -> None:
        """End a wait for brokers that do not answer."""
        self._aborted.set()

    def end(self) -> None:
        """Forget what is not confirmed."""
        self._producer.purge()
        self._producer.poll(0)


def _words(error: Any) -> str:
    return f"{error.name()}: {error.str()}"


def _nobody(_text: str) -> None:
    """Errors before the first batch come again."""


def settings_of(properties: str) -> dict[str, str]:
    """The lines `key=value` of a client's properties file; '#' begins a comment.

    Raises:
        UserError: a line is neither.
    """
    settings = {}
    for number, line in enumerate(properties.splitlines(), 1):
        key, equals, value = line.strip().partition("=")
        if not key or key.startswith("#"):
            continue
        if not equals:
            raise UserError(
                f"sink: line {number} of kafka's token_file must be key=value, such as "
                "security.protocol=SASL_SSL"
            )
        settings[key.strip()] = value.strip()
    return settings
