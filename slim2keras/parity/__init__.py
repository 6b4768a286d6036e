"""Whether a model's numbers are slim's."""
