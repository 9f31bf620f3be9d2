"""What the hardware speaks.

A register map (`register_map`) is compiled at start (`wiring`) into request frames and a decoder.
A `Session` holds the conversation with one device, in bytes (`modbus`), without a socket; a `Line`
puts it on TCP. What the rooms above see is the `Battery` contract.
"""

from tenhertz.devices.battery import Battery, Condition, Demand, Reading
from tenhertz.devices.line import Line
from tenhertz.devices.register_map import RegisterMap, load_map, shipped_maps
from tenhertz.devices.session import Counters, Session
from tenhertz.devices.wiring import Wiring, wire, wiring_for

__all__ = [
    "Battery",
    "Condition",
    "Counters",
    "Demand",
    "Line",
    "Reading",
    "RegisterMap",
    "Session",
    "Wiring",
    "load_map",
    "shipped_maps",
    "wire",
    "wiring_for",
]
