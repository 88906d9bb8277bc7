"""What stages share while they run: devices, events, failures, outputs, and the source that results depend on."""
