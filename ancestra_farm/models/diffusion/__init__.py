"""Diffusion pipelines as generators: any pipeline that a model card describes, through diffusers."""
