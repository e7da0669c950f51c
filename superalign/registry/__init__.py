"""What can be plugged in, and how it is named in settings.

A plug-in is named by a built-in name, by `module:object`, by `path/to/file.py:Name` (a recipe: by the path alone), or
by the name of an entry point `KIND.NAME` of the group `superalign`. Nothing is imported before it is asked for.
"""

from superalign.registry.builtin import ATTACKERS, CRITICS, FAMILIES, JUDGES, LEARNERS, METHODS, SUITES, TASKS
from superalign.registry.files import file_module
from superalign.registry.plugins import GROUP, Entry, Registry, short_name

__all__ = [
    "ATTACKERS",
    "CRITICS",
    "FAMILIES",
    "GROUP",
    "JUDGES",
    "LEARNERS",
    "METHODS",
    "SUITES",
    "TASKS",
    "Entry",
    "Registry",
    "file_module",
    "short_name",
]
