"""slim itself, on today's TensorFlow."""
