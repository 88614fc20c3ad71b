"""What may become of a question: the two failures that mean different things for a door."""


class NotSentError(Exception):
    """Nothing left us: the way is full, held or broken, or nobody was there to take it."""


class NoReplyError(Exception):
    """It left us and nobody answered in time: whether it had an effect is unknown."""
