from .make import read_result as read_result
from .make import result_for as result_for
