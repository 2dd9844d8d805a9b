"""Translates a Corefile into our own configuration: text to text, with a finding for each line.

Promises: whatever the Corefile, the TOML is one that our reader takes, and what is not taken over is named with its
line, its plugin and option, and what that means for whom. Reads no file by itself: imports and paths go through what is
handed in. The syntax is in `lexer` and `parser`, server blocks in `sites`, plugins in modules by what they are about.
"""

from dnsserver.config.corefile.configmap import NotACorefileError, Sources, sources
from dnsserver.config.corefile.draft import Finding, Source
from dnsserver.config.corefile.importer import Imported, import_text
from dnsserver.config.corefile.parser import CorefileError, ImportedFile
from dnsserver.config.corefile.site import Files, Located

__all__ = [
    "CorefileError",
    "Files",
    "Finding",
    "Imported",
    "ImportedFile",
    "Located",
    "NotACorefileError",
    "Source",
    "Sources",
    "import_text",
    "sources",
]
