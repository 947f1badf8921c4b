"""The Lambda service: functions run under AWS's runtime interface client, one process per environment."""
