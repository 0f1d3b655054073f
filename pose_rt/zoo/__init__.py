"""The model files that pose-rt knows: where each lies, its checksum, its licences, and how it was made."""

from .manifest import Entry, entries, find, user_folder
from .store import add, load_path

__all__ = ["Entry", "add", "entries", "find", "load_path", "user_folder"]
