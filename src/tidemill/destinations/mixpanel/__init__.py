"""Events, user profiles and group profiles of Mixpanel."""
