import pytest

from tenhertz.errors import UserError
from tenhertz.store.sinks import open_sink
from tenhertz.store.sinks.courier import Courier
from tenhertz.store.sinks.prometheus import PrometheusSink

NOTHING = {"servers": "", "url": "", "database": "fleet", "token": "", "listen": ""}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "given", "type_"),
    [
        ("kafka", {"servers": "127.0.0.1:1"}, Courier),
        ("influxdb", {"url": "http://127.0.0.1:1"}, Courier),
        ("prometheus", {"listen": "127.0.0.1:0"}, PrometheusSink),
    ],
)
def test_each_kind_opens_and_closes(kind: str, given: dict[str, str], type_: type) -> None:
    sink = open_sink(kind, **(NOTHING | given))
    sink.close()

    assert isinstance(sink, type_)
    assert set(sink.counts().values()) == {0}


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match="choose kafka, influxdb or prometheus"):
        open_sink("rabbit", **NOTHING)
