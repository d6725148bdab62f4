"""Rows as files in a bucket, or in a folder that the installation allows."""
