"""The metadata database (PostgreSQL, embedded or given) and the secrets in it."""
