"""The HTTP API from Python: ``Client("https://tidemill.example.com", token)`` has a part for each resource.

It needs nothing of the server: neither its modules nor its machine. How it is used: docs/howto/api-client.md.
"""

from tidemill.client.api import Client
from tidemill.client.core import ApiError, Event, Model, UnreachableError

__all__ = ["ApiError", "Client", "Event", "Model", "UnreachableError"]
