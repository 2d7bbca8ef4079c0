"""``scipy.stats``, with boxes."""
