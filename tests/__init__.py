"""Tests. A package, so that no other distribution's folder of this name is found in its place."""
