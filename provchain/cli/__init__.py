"""The ``provchain`` command."""
