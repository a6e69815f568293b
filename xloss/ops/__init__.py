"""Machinery that losses share, once per framework and under the same names in both; imported where it is used."""
