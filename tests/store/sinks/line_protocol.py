"""A reader of InfluxDB's line protocol, written from its description, sign by sign.

https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

from typing import NamedTuple


class Point(NamedTuple):
    measurement: str
    tags: dict[str, str]
    fields: dict[str, float | int | str]
    time_ns: int


class Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def expect(self, sign: str) -> None:
        assert self.peek() == sign, (self.text, self.at, sign)
        self.at += 1

    def name(self, ends: str) -> str:
        got = ""
        while (sign := self.peek()) and sign not in ends:
            assert sign != "\n"
            self.at += 1
            if sign == "\\":  # a backslash counts only before these
                assert self.peek() in {",", "=", " "}, "a backslash in a name is ambiguous"
                sign = self.peek()
                self.at += 1
            got += sign
        assert got, (self.text, self.at)
        return got

    def value(self) -> float | int | str:
        if self.peek() == '"':
            return self.quoted()
        word = ""
        while self.peek() not in {",", " ", ""}:
            word += self.peek()
            self.at += 1
        return int(word[:-1]) if word.endswith("i") else float(word)

    def quoted(self) -> str:
        self.expect('"')
        got = ""
        while self.peek() != '"':
            if self.peek() == "\\" and self.text[self.at + 1] in '"\\':
                self.at += 1
            got += self.peek()
            self.at += 1
        self.expect('"')
        return got

    def point(self) -> Point:
        measurement = self.name(", ")
        tags, fields = {}, {}
        while self.peek() == ",":
            self.at += 1
            key = self.name("=, ")
            self.expect("=")
            tags[key] = self.name(", =")
        sign = " "
        while self.peek() == sign:
            self.at += 1
            key = self.name("=, ")
            self.expect("=")
            fields[key] = self.value()
            sign = ","
        self.expect(" ")
        digits = ""
        while self.peek().isdigit():
            digits += self.peek()
            self.at += 1
        self.expect("\n")
        return Point(measurement, tags, fields, int(digits))


def read(data: bytes) -> list[Point]:
    reader = Reader(data.decode())
    points = []
    while reader.peek():
        points.append(reader.point())
    return points
