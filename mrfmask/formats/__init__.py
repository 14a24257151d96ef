"""Models as other programs write them, to and from the terms of an `IsingGraph`.

Every module turns one form into `Terms`, or back; `IsingGraph` and `load_model` build on them.
"""
