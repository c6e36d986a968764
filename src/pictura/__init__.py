"""Pictura: one self-hosted endpoint for every image model."""

__version__ = "0.1.0"
