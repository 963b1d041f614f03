"""Training: from labelled images to a checkpoint and its card."""
