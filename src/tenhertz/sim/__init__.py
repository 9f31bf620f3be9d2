"""The other side of every wire: containers, meters. Shares no code with what it tests."""
