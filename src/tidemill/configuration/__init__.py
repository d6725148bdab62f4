"""Configuration as code: what an installation is set up to do, as a file that can be kept, compared and applied.

`reading` makes a tree of YAML, with lines and columns; `documents` says what may be written, made of the specs that the
command line and forms have; `kinds` is how each thing is seen, made, changed and deleted, by the services alone;
`planning` compares a file with the installation, `applying` does what was planned, `writing` writes the file. Decision:
docs/decisions/0028-configuration-as-code.md.
"""
