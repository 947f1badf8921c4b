"""Bulk Read: create requests, jobs, callbacks and result files."""
