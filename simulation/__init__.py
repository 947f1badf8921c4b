"""The whole pipeline in one process, on a virtual clock, with seeded faults (docs/simulation.md)."""
