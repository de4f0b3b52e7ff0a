"""The demo: real icons from fonts, a small dual encoder trained on them, and its data.

``icons`` draws the glyphs, ``concepts`` judges what is relevant to a query, ``towers`` and
``train`` make the model that lies in ``demo/model`` (extra ``export``).
"""

from __future__ import annotations
