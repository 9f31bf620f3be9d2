"""How a site looks on a terminal."""

from __future__ import annotations

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from tenhertz.site.status import ControlStatus, GatewayStatus, UplinkStatus

_COLOURS = {"controlled": "green", "observed": "yellow", "absent": "red", "silent": "red"}


def status_table(
    control: ControlStatus, gateway: GatewayStatus, beat_age_s: float, uplink: UplinkStatus | None
) -> None:
    """Print a site's state."""
    Console().print(site_panel(control, gateway, beat_age_s))
    if uplink is not None:
        Console().print(_uplink_line(uplink))


def _uplink_line(uplink: UplinkStatus) -> Text:
    state = "the fleet answers" if uplink.talking else "no answer from the fleet"
    return Text.assemble(
        "\nuplink: ",
        (state, "green" if uplink.talking else "yellow"),
        f", {uplink.waiting_rows} rows wait, {uplink.sent_rows} sent, "
        f"{uplink.gone_rows} told as lost, round trip {uplink.round_trip_ms:.0f} ms",
        (f"\n{uplink.trouble}" if uplink.trouble else "", "yellow"),
    )


def site_panel(control: ControlStatus, gateway: GatewayStatus, beat_age_s: float) -> Group:
    """The units and the figures of a site."""
    units = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("unit", "state"):
        units.add_column(heading, no_wrap=True)
    for heading in ("kW", "setpoint", "SOC", "reply ms", "missed", "silent", "sessions"):
        units.add_column(heading, justify="right", no_wrap=True)
    for unit in control.units:
        units.add_row(
            unit.name,
            Text(unit.condition, _COLOURS.get(unit.condition, "red")),
            f"{unit.power_w / 1000:+.1f}",
            "none" if unit.setpoint_w is None else f"{unit.setpoint_w / 1000:+.1f}",
            f"{unit.soc:.1%}",
            f"{unit.round_trip_ms:.1f}",
            str(unit.missed),
            str(unit.timeouts),
            str(unit.connects),
        )
    return Group(*_figures(control, gateway, beat_age_s), Text(), units)


def _figures(control: ControlStatus, gateway: GatewayStatus, beat_age_s: float) -> list[Text]:
    hz = "no frequency" if control.frequency_hz is None else f"{control.frequency_hz:.3f} Hz"
    owed = ", ".join(f"{name} {w / 1000:.0f} kW" for name, w in control.capacities_w.items())
    lost = f", {gateway.lost} lost" if gateway.lost else ", none lost"
    spacing, late = control.spacing_ms, control.lateness_ms
    lines = [
        Text.assemble(
            (hz, "bold"),
            f" ({control.signal})   target ",
            (f"{control.target_w / 1000:+.1f} kW", "bold"),
            "   delivered ",
            (f"{control.power_w / 1000:+.1f} kW", "bold"),
            f"   {control.reason}: {owed or 'nothing owed'}",
        ),
        Text(
            f"samples {control.samples}, stored {gateway.stored_rows}{lost}, "
            f"backlog {gateway.backlog}   ticks missed {control.missed_ticks}"
        ),
        Text(
            f"spacing p50 {spacing.p50:.1f}  p99 {spacing.p99:.1f}  p99.9 {spacing.p999:.1f}  "
            f"max {spacing.max:.1f} ms   ticks late p99 {late.p99:.1f} ms   "
            f"cpu {control.cpu_pct:.1f} %  {control.rss_mb:.0f} MB  {control.scheduling}",
            "dim",
        ),
    ]
    if control.stopped:
        lines.append(Text("STOPPED: the units are held de-energised", "bold red"))
    if beat_age_s > 1.0:
        lines.append(Text(f"the control process has not beaten for {beat_age_s:.1f} s", "bold red"))
    if gateway.trouble:
        lines.append(Text(f"the database takes no rows: {gateway.trouble}", "yellow"))
    return lines
