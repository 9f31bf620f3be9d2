"""The edge controller: control process, ring, gateway process, setpoint gate."""
