"""The core behind a serial line: frames with their own checks, which carry its packets and registers."""
