"""Everything that touches BigQuery. Only this package imports `google.*`; it raises only our errors."""
