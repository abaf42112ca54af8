"""What happened: the store, the log, the Parquet tables, verify."""
