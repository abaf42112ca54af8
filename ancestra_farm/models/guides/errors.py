"""Why a guide cannot be used."""


class GuideUnreadable(Exception):
    """A guide's file is not what its suffix says, is damaged, or holds something that the farm does not take.

    The message is a sentence for the person who gave the file.
    """
