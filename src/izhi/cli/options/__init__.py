"""The options of every command, a function each; see ``izhi.cli.parser``."""
