"""Training: from labelled images to a checkpoint that says what it is made of."""
