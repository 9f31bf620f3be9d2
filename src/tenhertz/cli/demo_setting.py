"""What a demo is made of: its units, its ports, its configuration files."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import NamedTuple

from tenhertz.errors import UserError

POWER_KW, ENERGY_KWH = 200, 400
PROFILE = "nordic-1.1"
FLEET = "demo-fleet"
SITE = "demo"
# Half of the power for FCR-N, whose energy management wants 34 % on top, the rest for FCR-D.
SHARES = {"fcr-n": 0.35, "fcr-d-up": 0.4, "fcr-d-down": 0.4}
_DOORS = 1000  # each simulated device has a second port this far above its own
_FIRST_PORT = 15020


class Setting(NamedTuple):
    """What the demo is made of."""

    units: int
    latency_ms: float
    start_s: float
    folder: Path
    base_port: int
    broker_port: int
    link_port: int  # where the site finds the broker: the link can be cut there

    @property
    def capacities_w(self) -> dict[str, float]:
        """What the demo site has sold."""
        power_w = self.units * POWER_KW * 1000
        return {product: round(power_w * share) for product, share in SHARES.items()}


def site_toml(setting: Setting, trusted_key: str) -> str:
    """The site's configuration."""
    lines = [
        "# Made by `tenhertz demo`.",
        "[site]",
        f'name = "{SITE}"',
        'data_dir = "."',
        f'runtime_dir = "{runtime(setting.folder)}"',
        "",
        "[frequency]",
        'source = "meter"',
        'host = "127.0.0.1"',
        f"port = {setting.base_port}",
        "",
        "[uplink]",
        f'fleet = "{FLEET}"',
        'host = "127.0.0.1"',
        f"port = {setting.link_port}",
        f'trusted_keys = {{ fleet = "{trusted_key}" }}',
    ]
    for product, capacity_w in setting.capacities_w.items():
        lines += ["", "[[contract]]", f'product = "{product}"', f"capacity_kw = {capacity_w / 1e3}"]
    for number in range(1, setting.units + 1):
        lines += [
            "",
            "[[unit]]",
            f'name = "c{number:02}"',
            'host = "127.0.0.1"',
            f"port = {setting.base_port + number}",
            f"power_kw = {POWER_KW}",
            f"energy_kwh = {ENERGY_KWH}",
        ]
    return "\n".join(lines) + "\n"


def fleet_toml(setting: Setting) -> str:
    """The fleet server's configuration."""
    return f"""# Made by `tenhertz demo`.
[fleet]
name = "{FLEET}"
data_dir = "fleet"

[mqtt]
host = "127.0.0.1"
port = {setting.broker_port}

[http]
listen = "127.0.0.1:0"

[command]
key_file = "fleet.key"

[[source]]
match = "{SITE}"
rules = ["container"]
"""


def runtime(folder: Path) -> Path:
    """Where the site's shared memory lies."""
    return Path("/dev/shm") / f"tenhertz-{folder.name}"  # noqa: S108 - named after a fresh folder


def free_base_port(units: int) -> int:
    """The first port of a free range for the meter, the units, and their fault doors."""
    for base in range(_FIRST_PORT, 30_000, 2 * _DOORS + 10):
        wanted = [base + i + door for i in range(units + 1) for door in (0, _DOORS)]
        if all(map(_is_free, wanted)):
            return base
    raise UserError(
        f"no {2 * units + 2} free ports were found above {_FIRST_PORT}; stop some servers"
    )


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def listens(port: int) -> bool:
    """Whether somebody listens on a port."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0
