"""Cron expressions of five fields and their next times."""


class Cron:
    """Five fields."""

    @staticmethod
    def parse(text: str) -> "Cron":
        """Raises ValueError."""
        if len(text.split()) != 5:
            raise ValueError("must have five fields")
        return Cron()
