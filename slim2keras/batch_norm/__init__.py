"""slim's BatchNorm: the three modes, the decay, and statistics of whole data sets."""
