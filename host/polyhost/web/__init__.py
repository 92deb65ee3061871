"""The dashboard: a page that looks on, in a process of its own. ``reading`` is what it shows, ``page`` how."""
