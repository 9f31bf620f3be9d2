"""Runs a module of the package beside a busy thread and a large heap.

Usage: hostile.py [--hog] [--objects N] MODULE ARGS...
"""

from __future__ import annotations

import runpy
import sys
import threading


def spin() -> None:
    """Use up the interpreter for ever, in pure Python."""
    number = 1
    while True:
        number = (number * 1_103_515_245 + 12_345) % 2_147_483_648


def main() -> None:
    """Start the disturbances, then the module."""
    arguments = sys.argv[1:]
    heap: list[object] = []
    if arguments[0] == "--hog":
        arguments.pop(0)
        threading.Thread(target=spin, daemon=True).start()
    if arguments[0] == "--objects":
        heap = [{"key": [number]} for number in range(int(arguments[1]) // 2)]
        arguments = arguments[2:]
    sys.argv = arguments
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=False)
    heap.clear()


if __name__ == "__main__":
    main()
