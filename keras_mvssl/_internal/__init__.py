"""Checks, file writing, progress bars and the stream version, for all subpackages."""
