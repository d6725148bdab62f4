"""People, events and objects of Customer.io."""
