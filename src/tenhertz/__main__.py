"""`python -m tenhertz` is the command line."""

from tenhertz.cli import main

main()
