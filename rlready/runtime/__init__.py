"""What a stage tells about itself while it runs: events and devices."""
