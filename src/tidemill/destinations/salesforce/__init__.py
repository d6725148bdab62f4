"""Salesforce: records of its objects, by jobs of the Bulk API 2.0."""
