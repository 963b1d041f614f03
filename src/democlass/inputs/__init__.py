"""What to classify: files, folders, patterns, names on standard input; and tables of labels."""
