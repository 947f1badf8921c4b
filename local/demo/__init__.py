"""`python -m local demo`: one export, explained step by step and verified."""
