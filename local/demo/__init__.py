"""The guided run of the main job, `python -m local demo`."""
