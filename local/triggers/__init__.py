"""Triggers, which invoke functions: queues and schedules."""
