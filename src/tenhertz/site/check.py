"""All that can be known to be wrong with a site before it moves anything."""

from __future__ import annotations

from pathlib import Path

from tenhertz.devices import wiring_for
from tenhertz.errors import UserError
from tenhertz.grid.signals import load_recording
from tenhertz.site.config import SiteConfig, load_config
from tenhertz.site.reserve import ReserveDesk


def checked_config(path: Path) -> SiteConfig:
    """Load a configuration and try everything it names: profile, products, maps, recording.

    Raises:
        UserError: a mistake; the sentence names file, place and remedy.
    """
    config = load_config(path)
    frequency = config.frequency
    try:
        ReserveDesk(config)
        if frequency.source == "recording":
            load_recording(frequency.recording)
        else:
            wiring_for(frequency.map, frequency.unit_id, names=("frequency_hz",))
        for unit in config.unit:
            wiring_for(unit.map, unit.unit_id)
    except (UserError, ValueError) as mistake:
        raise UserError(f"{path}: {mistake}") from mistake
    return config
