"""Sinks of a run's events: the console, the metrics file, the curves; and the run folder they write to."""
