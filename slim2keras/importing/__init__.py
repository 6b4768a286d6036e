"""What TensorFlow 1 graphs tell."""
