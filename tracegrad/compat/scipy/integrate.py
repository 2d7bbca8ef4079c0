"""``scipy.integrate``, with boxes."""
