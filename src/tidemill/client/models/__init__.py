"""What is sent and answered, by resource."""
