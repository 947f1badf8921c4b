"""The whole pipeline in one process, on a virtual clock, with faults chosen by a seed (docs/simulation.md)."""
