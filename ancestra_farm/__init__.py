"""Ancestra Farm: a render farm for generated film, on Ray."""

__version__ = "0.1.0"
