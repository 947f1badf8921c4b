"""Keeps modules current: schedules, windows, deletions and the audit. Runs of a sync are exports."""
