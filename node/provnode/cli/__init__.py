"""The ``provnode`` command."""
