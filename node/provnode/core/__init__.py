"""The consensus as a pure state machine: no clock, disk, socket or randomness (arXiv 1807.04938)."""
