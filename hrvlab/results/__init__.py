"""Results at full scale on the miniature, which ship with hrvlab: made, read and checked."""

from hrvlab.results.make import read_result, result_for

__all__ = ["read_result", "result_for"]
