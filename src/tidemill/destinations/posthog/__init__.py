"""Events, persons, groups and aliases of PostHog."""
