"""The command line: parses, calls a service, renders. No SQL, no rule of the business."""
