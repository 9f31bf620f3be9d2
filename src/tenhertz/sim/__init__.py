"""The other side of every wire: containers, meters. Shares no code with what it tests.

Written from the pages in docs/devices/ alone. `python -m tenhertz.sim` starts a simulated site;
`SiteOptions` and `run_site` do the same from Python. Nothing here loads a Modbus library before a
site is started.
"""

from tenhertz.sim.options import SiteOptions
from tenhertz.sim.site import run_site

__all__ = ["SiteOptions", "run_site"]
