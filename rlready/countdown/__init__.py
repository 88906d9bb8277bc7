"""The second built-in miniature: Countdown, step by step, with a verifier that follows the steps."""
