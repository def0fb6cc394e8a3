"""The subcommands of `manage.py bench`: each module here is one.

It has a docstring whose first line is its help, `add_arguments(parser)`, and `run(options) -> int`, the
exit status. `options` carries `config` (the file), `out` (a folder, or None for one of its own below
outputs/), `attach` and `api_key`.
"""
