"""A whole training: from a checkpoint and images to a RUN, a directory with the network, its curves and its report."""
