"""The quantised twin"""


def quantised_twin(*a):
    raise NotImplementedError
