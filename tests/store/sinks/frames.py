"""Frames to send."""

import numpy as np

from tenhertz.link.frame import Column, Frame
from tenhertz.link.points import Kind

START_NS = 1_760_000_000_000_000_000


def frame_of(kind: Kind, rows: int, columns: dict[str, Column], **other: object) -> Frame:
    entities = other.pop("entities", ("u0", "u1"))
    first = other.pop("first", 1)
    given = {
        "source": "north",
        "stream": 2**63 + 5,
        "sequence": np.arange(first, first + rows, dtype=np.int64),
        "time_ns": START_NS + 100_000_000 * np.arange(first, first + rows, dtype=np.int64),
        "entity": (np.arange(rows) % len(entities)).astype(np.uint32),
        **other,
    }
    return Frame(kind=kind, entities=entities, columns=columns, **given)


def samples(rows: int = 4, **other: object) -> Frame:
    number = np.arange(rows, dtype=np.int64)
    power = (1000.5 + number).astype(np.float32)
    power[1::4] = np.nan
    columns = {
        "number": Column(number),
        "soc": Column((500 + number % 400).astype(np.int16), 0.001),
        "power_w": Column(power),
        "temperature_c": Column(number.astype(np.int16) - 5),
    }
    return frame_of(Kind.SAMPLE, rows, columns, **other)


def cells(rows: int = 2, width: int = 3, **other: object) -> Frame:
    spread = np.arange(rows * width).reshape(rows, width) % 400
    columns = {
        "voltage_v": Column((3200 + spread).astype(np.int16), 0.001),
        "current_a": Column(np.full(rows, -120, np.int16), 0.1),
        "temperature_c": Column((spread % 30).astype(np.float32)),
    }
    return frame_of(Kind.CELL, rows, columns, **other)


def events(texts: list[str], **other: object) -> Frame:
    columns = {
        "severity": Column(np.arange(len(texts), dtype=np.int16)),
        "text": Column(np.array(texts, dtype=object)),
    }
    return frame_of(Kind.EVENT, len(texts), columns, **other)
