"""`python -m tenhertz.sim`: the verbs of `tenhertz sim`, for programs that start a simulator."""

from __future__ import annotations

import sys

from tenhertz.errors import UserError
from tenhertz.sim.commands import app

if __name__ == "__main__":
    try:
        app()
    except UserError as mistake:
        sys.stderr.write(f"tenhertz: {mistake}\n")
        sys.exit(mistake.exit_code)
