"""A checkout of research/slim in small: written for TensorFlow 1, in the two styles that its files have."""
