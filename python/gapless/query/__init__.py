"""From a question to one native call: its parts, their routes to fields, and how they fuse."""
