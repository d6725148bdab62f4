"""The test upload: an export's own newest rows go into a scratch table beside the target, and are read back."""
