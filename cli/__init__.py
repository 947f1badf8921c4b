"""The operator's command line, `python -m cli`, over the same package as the functions."""
