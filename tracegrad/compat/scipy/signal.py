"""``scipy.signal``, with boxes."""
