"""Studies: the same neurons on several tasks, with one protocol, whose finished numbers are kept line by line."""
