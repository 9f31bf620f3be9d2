"""A device made of bytes: packs replies by hand from the vendor's page, knows no code of ours.

Only the session under test comes from the package. Time is a number that each step gives.
"""

import struct
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings

from tenhertz.devices import Demand, Session, load_map, wire
from tenhertz.devices.register_map import parse_map

# A loaded machine is no finding.
settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")

MS = 1_000_000
RUNNING, REMOTE = 3, 1

# docs/devices/generic-container.md, "Measurements": registers 100 to 139 in their order.
IMAGE = struct.Struct(">HHHHiiHHhHHIIIIhhiHIIQQHH")
IMAGE_FIELDS = [
    "counter",
    "state",
    "bms",
    "source",
    "power",
    "reactive",
    "frequency",
    "dc_v",
    "dc_a",
    "soc",
    "soh",
    "charge_limit",
    "discharge_limit",
    "charge_wh",
    "discharge_wh",
    "hottest",
    "coldest",
    "setpoint",
    "watchdog",
    "faults",
    "warnings",
    "charged",
    "discharged",
    "highest",
    "lowest",
]


@dataclass(frozen=True)
class Request:
    """A request as the other side of the wire reads it."""

    frame: bytes

    @property
    def transaction_id(self):
        return int.from_bytes(self.frame[:2], "big")

    @property
    def function(self):
        return self.frame[7]

    @property
    def address(self):
        return int.from_bytes(self.frame[8:10], "big")

    @property
    def count(self):
        return int.from_bytes(self.frame[10:12], "big")

    @property
    def what(self):
        """`('read', 100, 40)`, `('write', 200, b'....')`."""
        if self.function == 16:
            assert self.frame[12] == len(self.frame) - 13 == 2 * self.count
            return ("write", self.address, self.frame[13:])
        assert self.function in (3, 4)
        return ("read", self.address, self.count)

    def reply(self, data=b"", *, transaction_id=None, unit=None):
        """The device's answer: register bytes for a read, the acknowledgement of a write."""
        body = self.frame[8:12] if self.function == 16 else bytes([len(data)]) + data
        return self._wrap(bytes([self.function]) + body, transaction_id, unit)

    def refusal(self, code=2):
        return self._wrap(bytes([self.function | 0x80, code]), None, None)

    def _wrap(self, pdu, transaction_id, unit):
        tid = self.transaction_id if transaction_id is None else transaction_id
        unit = self.frame[6] if unit is None else unit
        return struct.pack(">HHHB", tid, 0, len(pdu) + 1, unit) + pdu


def image(**raw):
    """The forty registers of a container that runs in remote control, unless told otherwise."""
    usual = {"counter": 1, "state": RUNNING, "source": REMOTE, "soc": 5000}
    values = usual | raw
    assert values.keys() <= set(IMAGE_FIELDS)
    return IMAGE.pack(*(values.get(name, 0) for name in IMAGE_FIELDS))


class Rig:
    """A session, the frames it sent, and the instant it is."""

    def __init__(self, wiring):
        self.session = Session("unit 1", wiring)
        self.now_ns = 10**12
        self.start_ns = self.now_ns
        self.sent = []

    def at(self, ms):
        """Move the clock to `ms` after the start."""
        self.now_ns = self.start_ns + round(ms * MS)
        return self

    def _note(self, frame):
        assert frame is None or isinstance(frame, bytes)
        if frame is None:
            return None
        self.sent.append(Request(frame))
        return self.sent[-1]

    def connect(self):
        return self._note(self.session.connection_made(self.now_ns))

    def sample(self):
        return self._note(self.session.sample(self.now_ns))

    def power(self, power_w):
        return self._note(self.session.set_power(power_w, self.now_ns))

    def demand(self, demand):
        return self._note(self.session.demand(demand, self.now_ns))

    def bytes(self, data):
        return self._note(self.session.receive_data(data, self.now_ns))

    def answer(self, data=None, **raw):
        """Answer the newest request as a healthy device would."""
        request = self.sent[-1]
        if request.function == 16:
            return self.bytes(request.reply())
        return self.bytes(request.reply(image(**raw) if data is None else data))

    def answer_all(self):
        """Answer until nothing is asked any more; what was asked."""
        asked = []
        while True:
            asked.append(self.sent[-1].what)
            if self.answer() is None:
                return asked

    def refuse(self, code=4):
        return self.bytes(self.sent[-1].refusal(code))

    def overdue(self):
        return self._note(self.session.overdue(self.now_ns))

    def resume(self):
        return self._note(self.session.resume(self.now_ns))

    def in_control(self):
        """Connect, be asked for power, and have a first sample that shows remote control."""
        self.connect()
        self.demand(Demand.POWER)
        self.sample()
        assert self.answer(counter=65535) is None
        return self

    @property
    def counters(self):
        return self.session.counters


# Two separate reads, and a line that needs a pause after writes.
SPLIT_MAP = """
name = "split"
title = "Two blocks"
[timing]
reply_timeout_ms = 300
gap_after_write_ms = 50
[points]
power_w = { address = 10, type = "i16" }
soc = { address = 11, type = "u16", scale = 0.01 }
charge_limit_w = { address = 400, type = "u16" }
discharge_limit_w = { address = 401, type = "u16" }
control_source = { address = 402, type = "u16" }
setpoint = { address = 500, type = "i16", access = "write", cadence = "slow" }
command = { address = 501, type = "u16", access = "write", cadence = "slow" }
[control]
setpoint = "setpoint"
take = [{ point = "command", value = 1 }]
release = [{ point = "setpoint", value = 0 }, { point = "command", value = 0 }]
stop = [{ point = "setpoint", value = 0 }, { point = "command", value = 2 }]
remote_when = { control_source = [1] }
"""


@pytest.fixture(scope="session")
def container():
    return wire(load_map("generic-container"))


@pytest.fixture(scope="session")
def split():
    return wire(parse_map(SPLIT_MAP, "split.toml"))


@pytest.fixture
def rig(container):
    return Rig(container)


@pytest.fixture
def split_rig(split):
    return Rig(split)


@pytest.fixture(scope="session")
def make_rig():
    """For properties, which need a new rig for each example."""
    return Rig


@pytest.fixture(scope="session")
def container_image():
    return image


@pytest.fixture(scope="session")
def request_of():
    """Reads a request frame."""
    return Request
