from claims.command_fixtures import images, minigrad, unchanged_process

__all__ = ["images", "minigrad", "unchanged_process"]
