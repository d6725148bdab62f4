"""Where the documents are, for who has the package alone."""

_ADDRESS = "https://github.com/tidemill/tidemill/tree/main/docs"  # `project.urls` in pyproject.toml


def page(name: str) -> str:
    """The address of a document, such as ``howto/capture.md``."""
    return f"{_ADDRESS}/{name}"
