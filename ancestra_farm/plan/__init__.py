"""Shots → stages → segments → a lazily enumerated candidate space, and the events that can happen to it."""
