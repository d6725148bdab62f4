"""The plan of a run: which rows differ from what was delivered."""
