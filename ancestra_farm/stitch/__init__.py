"""Survivors to finished clips: joins, colour, retiming, encoding, contact sheets."""
