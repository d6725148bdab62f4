"""What can be asked for, by resource."""
