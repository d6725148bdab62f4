"""Events, user properties, group properties and cohorts of Amplitude."""
