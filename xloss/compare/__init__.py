"""Compare two functions of a user's, in either framework: are they the same, which is right, and if not, why."""
