"""The records API (lists, single and deleted records) and the metadata of modules and fields."""
