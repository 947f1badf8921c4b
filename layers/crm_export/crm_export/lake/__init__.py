"""Exports as typed Parquet, and tables of them. Called by functions/parquet_writer and the command line."""
