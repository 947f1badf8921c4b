"""What invokes functions by itself: queues and schedules."""
