"""Users, events and purchases of Braze."""
