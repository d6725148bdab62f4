"""The APIs that SDKs speak: where a key stands, what records there are, and what is answered."""
