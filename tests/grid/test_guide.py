"""The guide in docs/grid.md: what its examples print is what the code does."""

import doctest
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "grid.md"


def test_the_examples_of_the_guide_print_what_it_says():
    found = doctest.testfile(str(GUIDE), module_relative=False, encoding="utf-8")
    assert found.attempted > 15
    assert found.failed == 0
