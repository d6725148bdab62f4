"""Everything that touches BigQuery. Only this package imports `google.*`; it raises only our errors."""

import os

# gRPC reads it when it is imported, and would write to standard error that a server went away; callers are told.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
