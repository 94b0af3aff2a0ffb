"""Checks of the comparators against the public code that they were written after."""
