"""What the hardware speaks: register maps, codecs, transports, the Battery contract."""
