"""Checks, files and progress that several rooms share."""
