"""Stand-ins for what is outside, and sample uploads, for one machine only."""
