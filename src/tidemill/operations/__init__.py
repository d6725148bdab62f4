"""What takes long and must be done to its end, whoever dies meanwhile: asked for, done by workers, and watched."""
