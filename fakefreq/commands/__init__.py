"""The commands as data: one dataclass each, whose fields are its flags and whose docstring is its help."""
