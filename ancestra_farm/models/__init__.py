"""What generates: the protocol, the families, the catalogue of model cards."""
