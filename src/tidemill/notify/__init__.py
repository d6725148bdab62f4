"""Tells people what is wrong with exports, and when it is over: by e-mail, signed webhook, or Slack."""
