"""From what is asked of a checkpoint to a model, or a model file with its report."""
