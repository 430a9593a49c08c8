"""Measurements of Faregate. Each figure is a ratio of things measured in one run."""
