"""A stand-in for the package of SoulX-FlashHead: its functions, shapes and habits, without its networks."""
