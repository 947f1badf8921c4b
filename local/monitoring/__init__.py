"""What CloudWatch shows: the metrics of functions, routes and log lines, and the alarms that change."""
