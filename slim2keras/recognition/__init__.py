"""Which network is it? Told from variables, from layers, and from the names of published checkpoints."""
