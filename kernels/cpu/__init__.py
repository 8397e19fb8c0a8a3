"""What the CPU variants share: compiled loops, matrix products, reused memory."""
