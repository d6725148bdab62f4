"""Where the rows of each model come from: one file a model."""
