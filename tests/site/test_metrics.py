"""The site's pages, read as Prometheus does."""

from __future__ import annotations

import http.client
import time

import pytest

from tenhertz.errors import UserError
from tenhertz.site.board import Board
from tenhertz.site.metrics import SiteMetrics, serve_metrics
from tenhertz.site.paths import Parts
from tenhertz.site.status import (
    ENCODE,
    ControlStatus,
    GatewayStatus,
    Spread,
    UplinkStatus,
)

SPREAD = Spread(1.0, 2.0, 3.0, 4.0)


@pytest.fixture
def parts(tmp_path):
    boards = [Board(tmp_path / name, 4096, create=True) for name in ("c", "g", "p", "u")]
    return Parts(None, None, *boards, None, tmp_path)


def page(server, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(*server.server_address, timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@pytest.fixture
def server(parts):
    made = serve_metrics("127.0.0.1", 0, SiteMetrics(parts, sends=True))
    yield made
    made.shutdown()
    made.server_close()


def test_health_follows_the_beat(parts, server) -> None:
    assert page(server, "/live")[0] == 200
    assert page(server, "/ready")[0] == 503
    parts.control.beat(time.monotonic_ns())
    assert page(server, "/ready") == (200, "ready\n")
    assert page(server, "/other")[0] == 404


def test_what_the_boards_say_is_told(parts, server) -> None:
    assert "tenhertz_site_power_watts" not in page(server, "/metrics")[1]
    control = ControlStatus(
        1, 2, 3, 4, 5, 600, 49.95, "fresh", 1e3, 0.0, 2e3, "reserve", None, 0.0, False, {}, (),
        SPREAD, SPREAD, 9, 8, 1.0, 30.0, False, "fifo", 0,
    )  # fmt: skip
    parts.control.post(ENCODE(control))
    parts.gateway.post(ENCODE(GatewayStatus(1, 2, 590, 7, 3, 0, "", 1.0)))
    uplink = UplinkStatus(1, 2, True, True, "", 44, 5, 6, 7, 8, 9, 1, 250.0, 8192, 1, 0, 0, 0)
    parts.uplink.post(ENCODE(uplink))
    text = page(server, "/metrics")[1]
    for line in (
        "tenhertz_site_power_watts 2000.0",
        "tenhertz_site_frequency_hz 49.95",
        'tenhertz_site_late_seconds{quantile="0.99"} 0.002',
        "tenhertz_site_samples_total 600.0",
        "tenhertz_site_lost_samples_total 7.0",
        "tenhertz_site_uplink_backlog_rows 44.0",
        "tenhertz_site_uplink_connected 1.0",
        "tenhertz_site_uplink_round_trip_seconds 0.25",
    ):
        assert f"\n{line}\n" in text


def test_an_address_that_is_taken_is_one_sentence(parts, server) -> None:
    port = server.server_address[1]
    with pytest.raises(UserError, match=rf"metrics\.listen 127\.0\.0\.1:{port}: Address already"):
        serve_metrics("127.0.0.1", port, SiteMetrics(parts, sends=False))
