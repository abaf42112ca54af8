"""Numbers as people read them."""


def counted(number: float, one: str, many: str = "") -> str:
    """``1 host``, ``1,000 stitches``, ``0.5 GPUs``. ``many``: what several are called; by default with an s."""
    digits = f"{number:,g}" if isinstance(number, float) else f"{number:,}"
    return f"{digits} {one if number == 1 else many or f'{one}s'}"
