"""The sample that `tidemill demo` loads: real events, see NOTICE."""
