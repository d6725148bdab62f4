"""The HTTP API, version 1. FastAPI is imported with it: when the first request comes."""
