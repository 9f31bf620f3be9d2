"""A stand-in for many Modbus devices that costs as little as Python allows.

One process, one epoll loop, canned replies; it checks nothing and simulates nothing, so that a
bench measures the client. Each device has a port of its own, from FIRST_PORT on. It shares no code
with the package. Usage: responder.py FIRST_PORT DEVICES LATENCY_MS
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import sys
import time
from collections import deque

REGISTERS = 40


def image(counter: int) -> bytes:
    """40 registers of a generic container that runs in remote control."""
    words = [0] * REGISTERS
    words[0] = counter & 0xFFFF
    words[1], words[3] = 3, 1  # running, remote
    words[11] = 5000
    for low in (14, 16, 18, 20):
        words[low - 1], words[low] = divmod(200_000, 65536)
    return struct.pack(f">{REGISTERS}H", *words)


def serve(first_port: int, devices: int, latency_s: float) -> None:
    """Answer until killed."""
    poll = select.epoll()
    listeners: dict[int, socket.socket] = {}
    for port in range(first_port, first_port + devices):
        listener = socket.create_server(("127.0.0.1", port), backlog=16)
        listener.settimeout(0)
        listeners[listener.fileno()] = listener
        poll.register(listener.fileno(), select.EPOLLIN)
    sockets: dict[int, socket.socket] = {}
    waiting: deque[tuple[float, socket.socket, bytes]] = deque()
    body = image(0)
    refreshed = 0.0
    print("ready", flush=True)
    while True:
        pause = -1 if not waiting else max(0.0, waiting[0][0] - time.monotonic())
        events = poll.poll(pause)
        now = time.monotonic()
        if now - refreshed > 0.05:
            refreshed = now
            body = image(int(now * 20))
        while waiting and waiting[0][0] <= now:
            _, peer, answer = waiting.popleft()
            try:
                peer.send(answer)
            except OSError:
                continue
        for handle, _ in events:
            peer = sockets.get(handle)
            if peer is None:
                accept(listeners[handle], poll, sockets)
                continue
            try:
                data = peer.recv(512)
            except OSError:
                data = b""
            if not data:
                poll.unregister(handle)
                sockets.pop(handle).close()
                continue
            answer = reply(data, body)
            if latency_s:
                waiting.append((now + latency_s, peer, answer))
            else:
                peer.send(answer)


def reply(data: bytes, body: bytes) -> bytes:
    """The answer to one whole request."""
    function = data[7]
    if function == 3:
        size = 2 * (data[10] << 8 | data[11])
        return data[:4] + struct.pack(">HBBB", 3 + size, data[6], 3, size) + body[:size]
    return data[:4] + b"\x00\x06" + data[6:12]


def accept(listener: socket.socket, poll: select.epoll, sockets: dict[int, socket.socket]) -> None:
    """Take all waiting connections."""
    while True:
        try:
            peer, _ = listener.accept()
        except BlockingIOError:
            return
        peer.settimeout(0)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets[peer.fileno()] = peer
        poll.register(peer.fileno(), select.EPOLLIN)


def stand_apart() -> None:
    """Real devices do not share a processor with the client: ask for priority where allowed."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -15)


if __name__ == "__main__":
    stand_apart()
    serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000)
