"""Where the event store's files lie: a folder, or a bucket of an object store."""
