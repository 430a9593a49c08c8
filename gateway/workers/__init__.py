"""Processes behind the paid path: the recorder and the expirer."""
