"""Shows what each stage made of a function: graphs, sources, explanations, statistics."""
