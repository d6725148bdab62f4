"""Takes events from the SDKs of PostHog, Segment, RudderStack and Amplitude, over HTTP."""
