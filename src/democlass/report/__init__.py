"""The composition of a collection: shares of labels with honest intervals."""
