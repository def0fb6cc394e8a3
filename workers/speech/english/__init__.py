"""How English text is read aloud: rules from what is written to what is said."""

from workers.speech.english.rules import RULES

__all__ = ["RULES"]
