"""The report of a parity sweep: its tables and its heatmap."""
