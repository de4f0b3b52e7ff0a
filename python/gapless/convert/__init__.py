"""Take rows over from other libraries' files, and write a collection out for them.

`gapless.convert.importing` reads, `gapless.convert.exporting` writes. What a file says is checked
against its length before memory is taken for it, and nothing is ever unpickled.
"""

from __future__ import annotations
