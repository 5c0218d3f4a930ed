def write_picture(*a): pass
