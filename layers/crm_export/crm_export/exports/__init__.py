"""The state of an export and the steps that move it on."""
