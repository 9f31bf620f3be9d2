"""What systemd wants to hear: sd_notify, by hand, without a library.

Source: sd_notify(3): one datagram of `KEY=value` lines to the socket in NOTIFY_SOCKET.
"""

from __future__ import annotations

import os
import socket


class Notifier:
    """Tells systemd how the service stands; does nothing where systemd does not listen."""

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        found = os.environ if environment is None else environment
        address = found.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        watchdog_us = found.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(watchdog_us) / 1e6 if watchdog_us.isdigit() else 0.0
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.settimeout(0)

    def tell(self, message: str) -> bool:
        """Send `message`; False if nobody listens or the socket is full."""
        if self._socket is None:
            return False
        try:
            self._socket.sendto(message.encode(), self._address)
        except OSError:
            return False
        return True
