from claims.attacks import restored_variants
from claims.command_fixtures import images, minigrad, unchanged_process

__all__ = ["images", "minigrad", "restored_variants", "unchanged_process"]
