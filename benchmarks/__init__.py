"""Compares this project with the alternatives people would use and with the physical limit: `make bench`."""
