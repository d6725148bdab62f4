"""Messages in a channel of Slack."""
