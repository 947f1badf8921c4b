"""The operator's command line, `python -m cli`; it uses the same package as the functions."""
