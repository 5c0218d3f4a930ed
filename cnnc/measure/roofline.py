def find_matplotlib():
    return False


def draw_roofline(p, f):
    pass
