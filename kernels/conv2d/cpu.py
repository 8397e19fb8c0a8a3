"""The fast CPU variants."""
