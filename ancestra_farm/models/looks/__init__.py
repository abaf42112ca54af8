"""Looks: style adapters (LoRA) for a base model, learned from photographs whose rights are written down."""
