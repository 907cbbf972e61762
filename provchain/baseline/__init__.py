"""The Level-3 baseline: controls, rules, profiles; what a host must be, from facts to verdicts. Pure."""
