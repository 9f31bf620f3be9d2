"""The verbs `tenhertz sim site`, `packs`, `fault` and `state`.

They live here, and not in the command line's room, so that `python -m tenhertz.sim` offers the
same verbs without this room importing that one. The Modbus library loads only when a site starts.
"""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from tenhertz.sim.fault_door import DoorRequest, ask
from tenhertz.sim.faults import FaultOrder, Kind
from tenhertz.sim.options import SiteOptions
from tenhertz.sim.site import run_site

app = typer.Typer(
    name="sim",
    help="Simulates the hardware: battery containers and a frequency meter.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Port = Annotated[int, typer.Option(help="Modbus port of the simulated device.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer with one line of JSON.")]


@app.command()
def site(
    units: Annotated[int, typer.Option(help="Number of battery containers.")] = 12,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    base_port: Annotated[
        int, typer.Option(help="Port of the meter; container i listens i above it.")
    ] = 15020,
    power_kw: Annotated[float, typer.Option(help="Rated power of a container.")] = 200.0,
    energy_kwh: Annotated[float, typer.Option(help="Rated energy of a container.")] = 400.0,
    soc: Annotated[float, typer.Option(help="State of charge at power-up, 0 to 1.")] = 0.5,
    latency_ms: Annotated[float, typer.Option(help="Time each reply takes.")] = 0.0,
    delay_ms: Annotated[float, typer.Option(help="Pure delay of the converter.")] = 50.0,
    lag_ms: Annotated[float, typer.Option(help="First-order lag of the converter.")] = 100.0,
    ramp_per_s: Annotated[
        float, typer.Option(help="Ramp limit, fraction of the rated power per second.")
    ] = 1.0,
    recording: Annotated[
        str, typer.Option(help="Frequency to replay: a recording's name or a CSV file.")
    ] = "nordic-2024-04-08",
    frequency_hz: Annotated[
        float | None, typer.Option(help="A constant frequency instead of a recording.")
    ] = None,
    start_s: Annotated[float, typer.Option(help="Where in the recording to begin.")] = 0.0,
    speed: Annotated[float, typer.Option(help="How much faster than real time.")] = 1.0,
    *,
    hold: Annotated[
        bool, typer.Option("--hold", help="Keep the recording's last value; else begin anew.")
    ] = False,
    processes: Annotated[
        int | None,
        typer.Option(help="Processes to use. Default: one a device up to 16 units, else 2."),
    ] = None,
    single_client: Annotated[
        bool, typer.Option("--single-client", help="Each device takes one client at a time.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run containers and a frequency meter as Modbus TCP servers, until stopped.

    Example: tenhertz sim site --units 4 --latency-ms 20 --start-s 600
    """
    options = SiteOptions(
        units=units,
        host=host,
        base_port=base_port,
        power_w=power_kw * 1000,
        energy_wh=energy_kwh * 1000,
        soc=soc,
        latency_s=latency_ms / 1000,
        delay_s=delay_ms / 1000,
        lag_s=lag_ms / 1000,
        ramp_per_s=ramp_per_s,
        recording=recording,
        frequency_hz=frequency_hz,
        start_s=start_s,
        speed=speed,
        hold=hold,
        processes=processes,
        single_client=single_client,
    )
    run_site(options, _print_json if as_json else _print_table)


@app.command()
def packs(
    broker: Annotated[str, typer.Option(help="MQTT broker, HOST:PORT, without TLS.")],
    fleet: Annotated[str, typer.Option(help="Name of the fleet, as in fleet.toml.")],
    packs: Annotated[int, typer.Option(help="Number of battery packs.")] = 10_000,
    cells: Annotated[int, typer.Option(help="Cells of a pack.")] = 16,
    rate_hz: Annotated[float, typer.Option(help="Samples of each cell a second.")] = 10.0,
    gateways: Annotated[int, typer.Option(help="Sources that share the packs.")] = 16,
    seconds: Annotated[float, typer.Option(help="How long to measure.")] = 60.0,
    qos: Annotated[int, typer.Option(help="MQTT quality of service, 0 or 1.")] = 1,
    keep_mb: Annotated[
        float, typer.Option(help="What a gateway keeps unacknowledged before it gives up rows.")
    ] = 32.0,
    window: Annotated[
        int, typer.Option(help="Take nothing while so many batches are unacknowledged; 0: never.")
    ] = 0,
    linger_s: Annotated[
        float, typer.Option(help="How long to wait for acknowledgements in the end.")
    ] = 30.0,
    fault: Annotated[
        str, typer.Option(help="none; or omit, repeat, garble a batch; or cut the connection.")
    ] = "none",
    fault_every: Annotated[int, typer.Option(help="At each so many-th batch of a gateway.")] = 50,
    spike_pack: Annotated[int, typer.Option(help="A cell of this pack, from 1, runs hot.")] = 0,
    spike_after_s: Annotated[float, typer.Option(help="When it does.")] = 0.0,
) -> None:
    """Send cell samples of battery packs over MQTT, then print a report as one line of JSON.

    Example: tenhertz sim packs --broker 127.0.0.1:1883 --fleet demo --packs 100 --seconds 10
    """
    from tenhertz.sim.packs import PackOptions, run_packs

    options = PackOptions(
        broker=broker,
        fleet=fleet,
        packs=packs,
        cells=cells,
        rate_hz=rate_hz,
        gateways=gateways,
        seconds=seconds,
        qos=qos,
        keep_mb=keep_mb,
        window=window,
        linger_s=linger_s,
        fault=fault,
        fault_every=fault_every,
        spike_pack=spike_pack,
        spike_after_s=spike_after_s,
    )
    _print_json(run_packs(options))


@app.command()
def fault(
    kind: Annotated[str, typer.Argument(help="One of " + ", ".join([*Kind, "clear"]) + ".")],
    port: Port,
    seconds: Annotated[float, typer.Option(help="How long; 0 until cleared (drop: once).")] = 0.0,
    ms: Annotated[float, typer.Option(help="late: how much later each reply is.")] = 500.0,
    fraction: Annotated[
        float, typer.Option(help="clamp: cap on the power, fraction of the rated power.")
    ] = 0.5,
    *,
    hold_power: Annotated[
        bool, typer.Option("--hold-power", help="freeze: the true power stands still as well.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let a simulated device fail, or end its faults with `clear`.

    Example: tenhertz sim fault --port 15021 stall --seconds 5
    """
    if kind == "clear":
        request = DoorRequest("clear")
    elif kind in list(Kind):
        request = DoorRequest("fault", FaultOrder(Kind(kind), seconds, ms, fraction, hold_power))
    else:
        raise typer.BadParameter(f"{kind} is none of {', '.join([*Kind, 'clear'])}")
    reply = ask(port, request)
    if as_json:
        _print_json(reply)
    else:
        typer.echo(f"faults on port {port}: {', '.join(reply['active_faults']) or 'none'}")


@app.command()
def state(port: Port, *, as_json: AsJson = False) -> None:
    """Show the true state of a simulated device, whatever its registers say.

    Example: tenhertz sim state --port 15021 --json
    """
    reply = ask(port, DoorRequest("state"))
    if as_json:
        _print_json(reply)
        return
    for name, value in reply.items():
        if name != "ok":
            typer.echo(f"{name:24} {value}")


def _print_json(record: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


def _print_table(site: dict[str, Any]) -> None:
    typer.echo(f"{'device':8} {'Modbus TCP':22} {'fault door':>10} {'pid':>8}")
    for device in [site["meter"], *site["units"]]:
        where = f"{device['host']}:{device['port']}"
        typer.echo(f"{device['name']:8} {where:22} {device['door']:>10} {device['pid']:>8}")
    typer.echo("Running; Ctrl-C ends it.")
