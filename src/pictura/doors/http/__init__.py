"""The HTTP door: from a socket to a dialect and back."""
