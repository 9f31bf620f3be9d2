"""Where samples rest."""
