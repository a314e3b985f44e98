"""The core behind a serial line: checked frames that carry its packets and registers."""
