"""The steps of a run. Each may be done more than once: what it did is found again and not done twice."""
