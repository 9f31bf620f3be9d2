"""What the power system asks for: products, droop laws, energy management. Pure; no I/O."""
