"""The organisation's data: modules, their columns and records, criteria, and changes at run time."""
