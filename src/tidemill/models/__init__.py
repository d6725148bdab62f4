"""What moves: one file a model, each with its columns, key, versions and table layout."""
